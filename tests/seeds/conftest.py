"""A home directory with a cluster that was started the way the documents start one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


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
