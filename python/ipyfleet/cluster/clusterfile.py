"""The cluster file, ``security/cluster-<id>.json``: what runs, so that others can find and stop it.

ipyparallel reads and writes the same files; what is only ours stands under "ipyfleet".
"""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

__all__ = ["CLASS", "machine", "read", "remove", "write"]

# So that Cluster.from_file of ipyparallel opens our files.
CLASS = "ipyparallel.cluster.cluster.Cluster"
_BYTES_MAX = 16 * 1024 * 1024


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
