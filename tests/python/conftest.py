"""Clusters for the tests of the client: a controller and engines in a directory of their own.

They are ours, from ``$IPF_BIN_DIR`` or beside the running Python. With ``$IPF_CLIENT_PEER_PYTHON``
they are those of the ipyparallel that belongs to that Python.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PEER_PYTHON = os.environ.get("IPF_CLIENT_PEER_PYTHON", "")
START_SECONDS = 40.0
ENGINES = 2


def wait_until(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Wait until the condition is true, or fail and say what it was."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def ctrl_c() -> None:
    """Do what Ctrl-C does to the main thread, from another one."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def run_example(name: str, ipython_dir: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a program of examples/ as a user would, with only this directory's clusters in sight."""
    drop = ("IPP_", "IPYTHON")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    return subprocess.run(
        [sys.executable, str(Path(__file__).parents[2] / "examples" / name), *args],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=environment | {"IPYTHONDIR": str(ipython_dir)},
    )


class Cluster:
    """A controller and engines; all processes are gone after `stop`."""

    def __init__(self, root: Path, cluster_id: str = "") -> None:
        self.ipython_dir = root / "ipython"
        self.profile_dir = self.ipython_dir / "profile_default"
        self.cluster_id = cluster_id
        (self.profile_dir / "security").mkdir(parents=True, mode=0o700)
        self._root = root
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def file(self) -> Path:
        """The connection file for clients."""
        dashed = f"-{self.cluster_id}" if self.cluster_id else ""
        return self.profile_dir / "security" / f"ipcontroller{dashed}-client.json"

    def _command(self, role: str) -> list[str]:
        if PEER_PYTHON:
            return [PEER_PYTHON, "-m", f"ipyparallel.{role}"]
        directory = Path(os.environ.get("IPF_BIN_DIR") or Path(sys.executable).parent)
        program = directory / f"ip{role}"
        if not program.is_file() or program.read_bytes()[:4] != b"\x7fELF":
            pytest.fail(f"{program} is not our ip{role}; install the package or set IPF_BIN_DIR")
        return [str(program)]

    def _start(self, role: str, *args: str) -> subprocess.Popen[bytes]:
        drop = ("IPP_", "IPYTHON", "PYTEST", "PYTHONPATH")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
        environment |= {
            "IPYTHONDIR": str(self.ipython_dir),
            "IPP_PROFILE_DIR": str(self.profile_dir),
            "IPP_CLUSTER_ID": self.cluster_id,
            "HOME": str(self._root),
        }
        log = self._root / f"{role}-{len(self._processes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._command(role), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._root,
                env=environment,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def start(self, engines: int = ENGINES) -> Cluster:
        """Start the controller and engines, without waiting for their registration."""
        self.start_controller()
        for _ in range(engines):
            self.start_engine()
        return self

    def start_controller(self, *args: str) -> subprocess.Popen[bytes]:
        """Start a controller and wait for its connection file."""
        controller = self._start("controller", "--ping=300", *args)

        def written() -> bool:
            assert controller.poll() is None, self.logs()
            try:
                return bool(json.loads(self.file.read_text()))
            except (OSError, ValueError):
                return False

        wait_until(written, f"a connection file of the controller\n{self.logs()}", START_SECONDS)
        return controller

    def start_engine(self, *args: str) -> subprocess.Popen[bytes]:
        """Start one more engine."""
        return self._start("engine", *args)

    def logs(self) -> str:
        """Return the last lines of all processes."""
        return "\n".join(
            f"----- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in sorted(self._root.glob("*.log"))
        )

    @staticmethod
    def _group_lives(group: int) -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        return True

    def stop(self) -> None:
        """Stop everything, and fail if a process does not go when it is told to."""
        running = [process for process in reversed(self._processes) if process.poll() is None]
        for process in running:
            process.terminate()
        stubborn = []
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                stubborn.append(process.args)
        for process in self._processes:
            if self._group_lives(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        assert stubborn == [], self.logs()


def nap(seconds: float, value: Any = None) -> Any:
    """Take some time on an engine."""
    import time

    time.sleep(seconds)
    return value


# It travels by value: engines cannot import this file.
nap.__module__ = "__main__"


def need_on_engines(client: Any, *modules: str) -> None:
    """Skip the test if modules cannot be imported here or on engines."""
    for module in modules:
        pytest.importorskip(module)
        if None in client[:].apply_sync(importlib.util.find_spec, module):
            pytest.skip(f"the engines have no {module}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that all tests share, which must not harm it."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of the test's own."""
    made = Cluster(tmp_path / "own", cluster_id="own")
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def rc(cluster: Cluster) -> Iterator[object]:
    """A client of the shared cluster that sees all engines."""
    import ipyfleet as ipp

    with ipp.Client(cluster.file, timeout=20) as client:
        client.wait_for_engines(ENGINES, timeout=START_SECONDS)
        client[:].execute("globals().pop('x', None)", block=True)
        yield client
