"""Processes of one stack: found by a token in their environment, never by their names."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from .polling import WaitTimeoutError, wait_until

TOKEN_VARIABLE = "IPF_WIRE_TOKEN"
_SHARED_DIRS = (Path("/tmp"), Path("/dev/shm"))
_PRODUCT_WORDS = ("ipf", "ipyfleet", "ipcontroller", "ipengine", "ipcluster", "ipython", "ipp-")


@dataclass(frozen=True)
class ProcInfo:
    """A living process."""

    pid: int
    command: str


def _state(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    return stat.rpartition(")")[2].split()[0]


def alive(pid: int) -> bool:
    """Whether ``pid`` runs (a zombie counts as gone)."""
    return _state(pid) not in {"gone", "Z", "X"}


def stack_processes(token: str) -> list[ProcInfo]:
    """All living processes that were started with ``token`` in their environment."""
    needle = f"{TOKEN_VARIABLE}={token}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        pid = int(entry)
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if needle in environ.split(b"\0") and alive(pid):
            text = command.replace(b"\0", b" ").decode(errors="replace").strip()
            found.append(ProcInfo(pid, text))
    return sorted(found, key=lambda info: info.pid)


def signal_quietly(pid: int, number: int) -> None:
    """Send a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_all(token: str) -> None:
    """SIGKILL everything with the token until nothing is left."""

    def round_of_kills() -> bool:
        left = stack_processes(token)
        for info in left:
            signal_quietly(info.pid, signal.SIGKILL)
        return not left

    wait_until(round_of_kills, "processes of the stack are dead after SIGKILL", timeout=10)


def await_none(token: str, timeout: float) -> list[ProcInfo]:
    """Wait until no process of the stack is left; return the survivors."""
    try:
        wait_until(lambda: not stack_processes(token), "no process left", timeout)
    except WaitTimeoutError:
        return stack_processes(token)
    return []


def shared_entries() -> set[Path]:
    """Every entry of the directories that all programs of the machine share."""
    entries: set[Path] = set()
    for directory in _SHARED_DIRS:
        if directory.is_dir():
            entries.update(directory.iterdir())
    return entries


def _in_use(path: Path) -> bool:
    wanted = str(path)
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        fd_dir = f"/proc/{entry}/fd"
        try:
            links = [os.readlink(f"{fd_dir}/{fd}") for fd in os.listdir(fd_dir)]
            maps = Path(f"/proc/{entry}/maps").read_text(errors="replace")
        except OSError:
            continue
        if wanted in maps or any(link.startswith(wanted) for link in links):
            return True
    return False


def leaked_entries(before: set[Path], pids: set[int]) -> list[Path]:
    """New entries in /tmp and /dev/shm that belong to the product or name one of ``pids``."""
    leaks = []
    for path in sorted(shared_entries() - before):
        digits = {int(part) for part in _numbers(path.name)}
        ours = path.name.lower().lstrip(".").startswith(_PRODUCT_WORDS)
        if (ours or digits & pids) and not _in_use(path):
            leaks.append(path)
    return leaks


def _numbers(name: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in name).split()
