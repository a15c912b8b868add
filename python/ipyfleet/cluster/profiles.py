"""Where profiles and the files of clusters are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["abbreviate", "all_profile_dirs", "default_profile_dir", "ipython_dir", "locate"]

_PREFIX = "profile_"


def ipython_dir() -> Path:
    """Return the directory of the profiles; it need not exist."""
    return Path(os.environ.get("IPYTHONDIR") or "~/.ipython").expanduser().absolute()


def profile_dir_of(profile: str) -> Path:
    """Return the directory of a profile; ValueError if the name could leave the directory."""
    if not profile or os.sep in profile or profile.startswith("."):
        raise ValueError(f"{profile!r} is no name of a profile; use profile_dir for a path")
    return ipython_dir() / f"{_PREFIX}{profile}"


def default_profile_dir(profile: str = "") -> str:
    """Return the directory of the named, else of the running, else of the default profile."""
    if not profile:
        from ..display import shell

        ip = shell()
        if ip is not None and getattr(ip, "profile_dir", None) is not None:
            return str(ip.profile_dir.location)
    return str(profile_dir_of(profile or "default"))


def make(profile_dir: str) -> None:
    """Make a profile's directories, which nobody else may enter."""
    Path(profile_dir).parent.mkdir(parents=True, exist_ok=True)
    for path in (Path(profile_dir), *(Path(profile_dir) / n for n in ("security", "log", "pid"))):
        path.mkdir(mode=0o700, exist_ok=True)


def all_profile_dirs() -> list[str]:
    """Return the directories of all profiles."""
    try:
        entries = sorted(ipython_dir().iterdir())
    except OSError:
        return []
    return [str(each) for each in entries if each.name.startswith(_PREFIX) and each.is_dir()]


def locate(profiles: Iterable[str]) -> list[str]:
    """Return the directories of profiles; FileNotFoundError if there is no such profile."""
    found: list[str] = []
    for profile in profiles:
        path = profile_dir_of(profile)
        if not path.is_dir():
            raise FileNotFoundError(f"there is no profile {profile!r}: no directory {path}")
        found.append(str(path))
    return found


def abbreviate(profile_dir: str) -> str:
    """Return the name of a profile in the directory of the profiles, else the path."""
    path = Path(profile_dir)
    if path.parent == ipython_dir() and path.name.startswith(_PREFIX):
        return path.name[len(_PREFIX) :]
    return profile_dir
