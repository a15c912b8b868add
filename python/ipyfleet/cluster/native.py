"""The launchers in C++, as this package sees them."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from .. import _native

__all__ = ["make", "program", "prune_logs", "restore"]


def make(role: str, name: str, options: dict[str, Any]) -> _native.Launcher:
    """Make a launcher for the role "controller" or "engines"; ValueError says what is wrong."""
    return _native.Launcher.make(role, name, options)  # pyright: ignore[reportArgumentType]


def restore(role: str, name: str, state: dict[str, Any]) -> _native.Launcher:
    """Make one that goes on with what another process has started; LookupError if that is gone."""
    return _native.Launcher.restore(role, name, state)  # pyright: ignore[reportArgumentType]


def prune_logs(profile_dir: str) -> int:
    """Remove the oldest logs of a profile beyond 200 files or 256 MiB; return how many."""
    return _native.prune_logs(profile_dir)


def _is_ours(path: Path) -> bool:
    # ipyparallel installs scripts of the same names.
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF" and os.access(path, os.X_OK)
    except OSError:
        return False


def program(name: str) -> str:
    """Return the path of one of our programs: beside this Python, among the scripts, or in PATH."""
    places = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    for place in places:
        if _is_ours(place / name):
            return str(place / name)
    found = shutil.which(name)
    if found and _is_ours(Path(found)):
        return found
    return name
