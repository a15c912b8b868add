"""What a cluster leaves: processes and files of a profile."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest


class Traces:
    """Looks for everything that belongs to one profile directory."""

    def __init__(self, profile_dir: Path) -> None:
        self.profile_dir = profile_dir

    def processes(self) -> dict[int, str]:
        """Return the command lines of the living processes of the profile by pid."""
        needle = f"IPP_PROFILE_DIR={self.profile_dir}".encode()
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environ = (entry / "environ").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if needle in environ and state not in "ZX":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry.name)] = command.decode(errors="replace").strip()
            except OSError:
                continue
        return found

    def assert_nothing_runs(self, seconds: float = 2) -> None:
        """Fail if something of the profile runs, or a file says that it does."""
        end = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < end, left
            time.sleep(0.01)
        assert self.state_files() == []

    def state_files(self) -> list[str]:
        """Return the names of files that tell of running things."""
        return sorted(
            each.name
            for place in ("security", "pid")
            for each in (self.profile_dir / place).glob("*")
        )

    def check_and_clean(self) -> None:
        """Fail if something runs, and end it."""
        try:
            self.assert_nothing_runs()
        finally:
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                pytest.fail(f"killed {pid}")
