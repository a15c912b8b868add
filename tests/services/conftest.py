"""Real batch systems, sshd and MPI, started for these tests alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipyfleet import Client
from ipyfleet._native import Launcher
from launcher.harness import Sandbox, bin_dir, processes_of, wait_until

HERE = Path(__file__).parent


def free_ports(count: int) -> int:
    """Return the first of so many ports in a row that nobody uses."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + offset))
        except (OSError, OverflowError):
            continue
        finally:
            for each in sockets:
                each.close()
        return first


def need(*programs: str) -> None:
    """Skip where the packages of scripts/lib/packages-test.txt could not be installed."""
    missing = [
        each for each in programs if shutil.which(each, path=f"{os.defpath}:/usr/sbin") is None
    ]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and the packages with {', '.join(missing or programs)}")


def service(script: str, directory: Path, *arguments: str) -> Iterator[None]:
    """Run a service script's start, and its stop at the end."""
    command = ["bash", str(HERE / script)]
    begin = time.monotonic()
    started = subprocess.run(
        [*command, "start", str(directory), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        print(f"{script}: started in {time.monotonic() - begin:.1f} s")
        yield
    finally:
        subprocess.run([*command, "stop", str(directory)], timeout=60, check=False)


class Site(Sandbox):
    """A profile whose cluster runs with the real programs on a batch system or other hosts."""

    fake = False

    def timed(self, command: str, *arguments: str) -> str:
        """Run ipcluster; it must succeed; the time is printed."""
        begin = time.monotonic()
        done = self.run(command, *arguments)
        print(f"ipcluster {command}: {time.monotonic() - begin:.2f} s")
        assert done.returncode == 0, done.stdout + done.stderr + self.newest_log()
        return done.stdout

    def newest_log(self) -> str:
        """What the background ipcluster of the last start has logged."""
        logs = sorted((self.profile / "log").glob("ipcluster-*.log"), key=os.path.getmtime)
        return logs[-1].read_text() if logs else ""

    def client(self) -> Client:
        """A client on the running cluster."""
        return Client(str(self.profile / "security" / "ipcontroller-client.json"), timeout=30)

    def engines(self) -> Launcher:
        """The launcher of the only engine set, taken over from the cluster file."""
        part = self.cluster()["engines"]
        (state,) = part["sets"].values()
        return Launcher.restore("engines", part["class"], state)

    def interrupt(self, rc: Client, by_launcher: bool) -> None:
        """Interrupt a running sleep in every engine, by the backend or by way of the controller."""
        launcher = self.engines()
        assert launcher.can_signal(2) == by_launcher
        ar = rc[:].execute("import time; time.sleep(60)", silent=True, block=False)
        busy = rc[:].apply_async(int)
        assert not busy.wait(0.3)
        begin = time.monotonic()
        if by_launcher:
            launcher.signal(2)
        else:
            rc.send_signal(2, block=False)
        wait_until(lambda: launcher.poll() or ar.ready(), "the engines are interrupted", timeout=30)
        print(f"interrupt: {time.monotonic() - begin:.2f} s")
        assert busy.get(timeout=30) == [0] * len(rc.ids)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A profile of its own; nothing of it may run after the test."""
    monkeypatch.setenv("PATH", f"{bin_dir()}:{os.environ['PATH']}")
    box = Site(tmp_path)
    yield box
    try:
        wait_until(lambda: not processes_of(box.profile), box.left_text(), timeout=10)
    finally:
        box.kill_everything()
