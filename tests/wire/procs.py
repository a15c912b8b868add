"""Processes of one stack: found by a token in their environment, never by their names."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .polling import WaitTimeoutError, wait_until

TOKEN_VARIABLE = "IPF_WIRE_TOKEN"
_SHARED_DIRS = (Path("/tmp"), Path("/dev/shm"))


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


def freeze(pid: int) -> None:
    """Stop a process, and wait until all its threads stand still: until then they may go on."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    wait_until(
        lambda: all(
            (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
            for task in tasks.iterdir()
        ),
        f"all threads of {pid} are stopped",
    )


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


def await_none(token: str, timeout: float, besides: Collection[int] = ()) -> list[ProcInfo]:
    """Wait until no process of the stack is left but ``besides``; return the survivors."""

    def left() -> list[ProcInfo]:
        return [info for info in stack_processes(token) if info.pid not in besides]

    try:
        wait_until(lambda: not left(), "no process left", timeout)
    except WaitTimeoutError:
        return left()
    return []


def shared_entries() -> set[Path]:
    """Every entry of the directories that all programs of the machine share."""
    entries: set[Path] = set()
    for directory in _SHARED_DIRS:
        if directory.is_dir():
            entries.update(directory.iterdir())
    return entries


# The checkout and the programs themselves may lie below /tmp.
_INSTALLED = {Path(sys.prefix), Path(sys.prefix).resolve(), Path(__file__).resolve().parents[2]}


def opened_shared_paths(pid: int, private: Path) -> set[Path]:
    """Files in the shared directories, outside ``private``, that ``pid`` has open or mapped."""
    try:
        fds = Path(f"/proc/{pid}/fd")
        names = [os.readlink(fd) for fd in fds.iterdir()]
        maps = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    names += [line.split(maxsplit=5)[-1] for line in maps]
    paths = {Path(name) for name in names if name.startswith(("/tmp/", "/dev/shm/"))}
    expected = {private, *_INSTALLED}
    return {path for path in paths if not expected.intersection(path.parents)}


def leaked_entries(before: set[Path], pids: set[int], opened: set[Path]) -> list[Path]:
    """New entries of /tmp and /dev/shm that name one of ``pids`` or were ``opened`` by one.

    Other programs use these directories at the same time, so names alone prove nothing.
    """
    named = {path for path in shared_entries() - before if _numbers(path.name) & pids}
    return sorted(named | {path for path in opened if path.exists()})


def _numbers(name: str) -> set[int]:
    text = "".join(c if c.isdigit() else " " for c in name)
    return {int(part) for part in text.split()}
