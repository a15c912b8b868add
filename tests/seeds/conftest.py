"""A home directory with a cluster that was started the way the documents start one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

T = 20.0


def program(name: str) -> str:
    """Return the path of one of our programs: in $IPF_BIN_DIR, or beside this Python."""
    path = Path(os.environ.get("IPF_BIN_DIR") or Path(sys.executable).parent) / name
    if not path.is_file() or path.read_bytes()[:4] != b"\x7fELF":
        pytest.fail(f"{path} is not our {name}; install the package or set IPF_BIN_DIR")
    return str(path)


class Home:
    """A user's home directory; what runs in it sees no other cluster and no other profile."""

    def __init__(self, root: Path) -> None:
        self.root = root
        drop = ("IPP_", "IPYTHON", "PYTEST")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
        self.environment |= {
            "HOME": str(root),
            "PATH": f"{Path(program('ipcluster')).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def _run(self, argv: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def shell(self, command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command line."""
        return self._run(["bash", "-c", command], seconds)

    def python(self, text: str, *options: str, seconds: float = 60) -> str:
        """Run a program as a user would type it into a file, and return what it prints."""
        script = self.root / "script.py"
        script.write_text(text)
        done = self._run([sys.executable, "-W", "error", *options, str(script)], seconds)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a cluster of four engines, started with ``ipcluster start -n 4``."""
    made = Home(tmp_path_factory.mktemp("home"))
    started = made.shell("ipcluster start -n 4 --daemonize")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield made
    finally:
        stopped = made.shell("ipcluster stop")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


def wait_until(condition: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait until the condition is true, or fail and say what it was."""
    end = time.monotonic() + T
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.02)


class ByHand(Home):
    """A home in which somebody types commands into a shell."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.security = root / ".ipython" / "profile_default" / "security"
        self.started: list[subprocess.Popen[bytes]] = []

    @property
    def log(self) -> str:
        """Everything that was printed."""
        return (self.root / "log").read_text()

    def type(self, line: str) -> subprocess.Popen[bytes]:
        """Type a line into a shell of its own, which need not end."""
        with (self.root / "log").open("ab") as output:
            shell = subprocess.Popen(
                ["bash", "-c", f"{line}\nwait"],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(shell)
        return shell

    def wait_for_log(self, pattern: str) -> None:
        """Wait until a line is printed."""
        wait_until(
            lambda: re.search(pattern, self.log, re.MULTILINE), lambda: f"{pattern} in\n{self.log}"
        )

    def wait_for_controller(self) -> dict[str, object]:
        """Wait for the connection files and return the content of the engine's."""
        files = [self.security / f"ipcontroller-{role}.json" for role in ("client", "engine")]
        wait_until(lambda: all(file.exists() for file in files), lambda: self.log)
        return json.loads(files[1].read_text())

    def leave(self) -> None:
        """End every process of this home."""
        marker = f"HOME={self.root}\0".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if marker in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue
        for shell in self.started:
            shell.wait(T)


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    made = ByHand(tmp_path / "home")
    made.root.mkdir()
    try:
        yield made
    finally:
        made.leave()
