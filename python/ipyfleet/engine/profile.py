"""The user's IPython profile: its configuration files and its startup files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from traitlets.config import Config

_KERNEL_FILES = ("ipython_config.py", "ipython_kernel_config.py")
_ENGINE_FILES = ("ipython_config.py", "ipengine_config.py")
# Sections that may hold extensions, exec_lines and exec_files; the later one wins.
_SECTIONS = ("InteractiveShellApp", "IPKernelApp")


# Traits of the reference's engine that are followed here; ipengine itself follows the others.
_ENGINE_TRAITS = ("startup_command", "startup_script", "init_mpi")

_ENGINE_CONFIG = """\
# Configuration of the engines of this profile. IPython's classes can be set here, too, and in
# ipython_config.py.

c = get_config()  # noqa: F821

# Code and a file to run when an engine starts.
# c.IPEngine.startup_command = ""
# c.IPEngine.startup_script = ""

# Code to run when MPI is there (ipengine --mpi), instead of setting mpi_rank and mpi_size.
# c.IPEngine.init_mpi = ""

# c.InteractiveShellApp.extensions = []
# c.InteractiveShellApp.exec_files = []
# c.InteractiveShellApp.exec_lines = []
"""


def initialise(location: str) -> None:
    """Make a profile with the engines' configuration file; what exists stays as it is."""
    from IPython.core.profiledir import ProfileDir

    ProfileDir.create_profile_dir(location)  # pyright: ignore[reportUnknownMemberType]
    # Engines of a set do this at the same time.
    with contextlib.suppress(FileExistsError), open(Path(location) / _ENGINE_FILES[1], "x") as file:
        file.write(_ENGINE_CONFIG)


def load_config(profile_dir: str | None, *, kernel: bool) -> Config:
    """Return what the configuration files of a profile say, for an engine or a kernel of its own.

    A file that cannot be read is reported on stderr and left out.
    """
    from IPython.paths import get_ipython_dir
    from traitlets.config.loader import PyFileConfigLoader

    directory = profile_dir or str(Path(get_ipython_dir()) / "profile_default")
    config = Config()
    for name in _KERNEL_FILES if kernel else _ENGINE_FILES:
        if not (Path(directory) / name).is_file():
            continue
        try:
            config.merge(PyFileConfigLoader(name, path=directory).load_config())
        except Exception as exc:
            print(f"{directory}/{name}: {type(exc).__name__}: {exc}", file=sys.stderr)
    return config


def engine_trait(config: Config, name: str) -> str:
    """Return a trait of the reference's engine, or an empty string."""
    assert name in _ENGINE_TRAITS
    value = config.IPEngine.get(name) if "IPEngine" in config else None
    return value if isinstance(value, str) else ""


def configured(config: Config, name: str) -> list[Any]:
    """Return a list of the configuration, e.g. ``extensions``."""
    found: list[Any] = []
    for section in _SECTIONS:
        values = config[section].get(name) if section in config else None
        if isinstance(values, (list, tuple)):
            found = [*cast("list[Any]", values)]
    return found


def startup_files(startup_dir: str) -> Iterator[str]:
    """Yield the startup files of a profile in the order of their names."""
    directory = Path(startup_dir)
    if directory.is_dir():
        yield from sorted(str(p) for p in directory.iterdir() if p.suffix in (".py", ".ipy"))
