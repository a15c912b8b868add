"""The cluster file, ``security/cluster-<id>.json``: what runs, so that others can find and stop it.

ipyparallel reads and writes the same files; what is only ours stands under "ipyfleet": the machine,
start times, and sets of engines of another kind than "engines" names, which has one class for all.

Several processes may write a file (this one, ipcluster, ``ipcluster engines``): each reads, changes
and replaces it inside `locked`, and leaves the sets of others in it.
"""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "CLASS",
    "keep_others",
    "locked",
    "machine",
    "put_set",
    "read",
    "remove",
    "sets_of",
    "write",
]

# So that Cluster.from_file of ipyparallel opens our files.
CLASS = "ipyparallel.cluster.cluster.Cluster"
_BYTES_MAX = 16 * 1024 * 1024
_LOCK_S = 5.0
_LOCK_STEP_S = 0.002


def machine() -> dict[str, str]:
    """Return where pids mean something: one boot of one kernel, one pid namespace."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return {"host": socket.gethostname(), "boot": boot, "pid_namespace": namespace}


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a cluster file.

    Raises
    ------
    FileNotFoundError
        If there is none: the cluster does not run.
    ValueError
        If it is not one.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(_BYTES_MAX)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no cluster file {os.fspath(path)}: no such cluster runs"
        ) from None
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("cluster"), dict):
        raise ValueError(f"{os.fspath(path)} is not a cluster file")
    return content


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], seconds: float = _LOCK_S) -> Iterator[None]:
    """Keep other writers of the files in this directory out, ipcluster too.

    It is a flock of the directory and leaves no file behind. After some seconds, and where the file
    system has no locks, it goes on without: nobody may hang on a process that stands still.
    """
    try:
        fd = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        _lock(fd, time.monotonic() + seconds)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, end: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return
            time.sleep(_LOCK_STEP_S)
        except OSError:
            return
        else:
            return


def sets_of(content: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return all sets of engines in a file: id, to the launcher's name and state."""
    engines = content.get("engines") or {}
    found = {
        set_id: (engines.get("class") or "", state)
        for set_id, state in (engines.get("sets") or {}).items()
    }
    others = (content.get("ipyfleet") or {}).get("engine_sets") or {}
    return found | {set_id: (each["class"], each["state"]) for set_id, each in others.items()}


def put_set(content: dict[str, Any], set_id: str, kind: str, state: dict[str, Any]) -> None:
    """Put a set of engines where one of its kind belongs."""
    if kind == content["engines"]["class"]:
        content["engines"]["sets"][set_id] = state
    else:
        others = content["ipyfleet"].setdefault("engine_sets", {})
        others[set_id] = {"class": kind, "state": state}


def keep_others(content: dict[str, Any], current: dict[str, Any], own: set[str]) -> None:
    """Take the sets that others have added to a file over into its new content."""
    known = (current.get("ipyfleet") or {}).get("start_ticks") or {}
    ticks = content["ipyfleet"]["start_ticks"]
    for set_id, (kind, state) in sets_of(current).items():
        if set_id in own:
            continue
        put_set(content, set_id, kind, state)
        for each in (state, *(state.get("engines") or {}).values()):
            pid = each.get("pid", -1) if isinstance(each, dict) else -1
            if str(pid) in known:
                ticks.setdefault(pid, known[str(pid)])


def write(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Replace a cluster file at once; nobody else may read it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            json.dump(content, file)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a cluster file if it is there."""
    Path(path).unlink(missing_ok=True)
