"""The user's IPython profile: its configuration files and its startup files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from traitlets.config import Config

_FILES = ("ipython_config.py", "ipython_kernel_config.py")
# Sections that may hold extensions, exec_lines and exec_files; the later one wins.
_SECTIONS = ("InteractiveShellApp", "IPKernelApp")


def load_config(profile_dir: str | None) -> Config:
    """Return what the configuration files of a profile say, for a kernel of its own.

    A file that cannot be read is reported on stderr and left out.
    """
    from IPython.paths import get_ipython_dir
    from traitlets.config.loader import ConfigFileNotFound, PyFileConfigLoader

    directory = profile_dir or str(Path(get_ipython_dir()) / "profile_default")
    config = Config()
    for name in _FILES:
        try:
            config.merge(PyFileConfigLoader(name, path=directory).load_config())
        except ConfigFileNotFound:
            continue
        except Exception as exc:
            print(f"{directory}/{name}: {type(exc).__name__}: {exc}", file=sys.stderr)
    return config


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
