"""Reading a profile's configuration files.

A file is a Python program that says ``c.Class.trait = value``, or JSON. Only the profile directory
is looked at, never the current one.
"""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

__all__ = ["ConfigError", "config_files", "load_config", "load_file"]


class ConfigError(ValueError):
    """A configuration file cannot be read; the text has its name and the line."""


def config_files(name: str, profile_dir: str) -> list[Path]:
    """Return the files that there are for a program; later ones count more."""
    candidates = (f"{name}_config.py", f"{name}_config.json")
    return [path for each in candidates if (path := Path(profile_dir) / each).is_file()]


def _line_in(path: Path, failure: BaseException) -> int | None:
    if isinstance(failure, SyntaxError) and failure.filename == str(path):
        return failure.lineno
    lines = [
        each.lineno
        for each in traceback.extract_tb(failure.__traceback__)
        if each.filename == str(path)
    ]
    return lines[-1] if lines else None


def load_file(path: Path) -> Config:
    """Return what one file says.

    Raises
    ------
    ConfigError
        If it cannot be read or fails.
    """
    loader = JSONFileConfigLoader if path.suffix == ".json" else PyFileConfigLoader
    try:
        return loader(path.name, str(path.parent)).load_config()
    except json.JSONDecodeError as failure:
        raise ConfigError(f"{path}, line {failure.lineno}: {failure.msg}") from failure
    except (Exception, SystemExit) as failure:
        line = _line_in(path, failure)
        what = failure.msg if isinstance(failure, SyntaxError) else str(failure)
        kind = type(failure).__name__
        at = f", line {line}" if line else ""
        raise ConfigError(f"{path}{at}: {kind}: {what}") from failure


def load_config(name: str, profile_dir: str, log: Any = None) -> Config:
    """Return what a profile's files say about a program, under the names of today.

    Parameters
    ----------
    name
        "ipcluster", "ipcontroller" or "ipengine".
    profile_dir
        The profile's directory.
    log
        Where to warn of old names.
    """
    merged = Config()
    for path in config_files(name, profile_dir):
        merged.merge(load_file(path))
    if not merged:
        return merged
    from .translate import rename_old, unknown_traits

    notes: list[str] = []
    merged = rename_old(merged, notes)
    unknown = unknown_traits(merged)
    if unknown:
        notes.append(f"nothing is known of {', '.join(unknown)}")
    for note in notes:
        if log is not None:
            log.warning("%s", note)
    return merged
