"""ipcluster with the real ipcontroller and ipengine, and an unmodified ipyparallel client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import ipyparallel as ipp
import pytest

from .harness import Sandbox, alive, processes_of, wait_until

os.environ["IPP_NONINTERACTIVE"] = "1"


class RealSandbox(Sandbox):
    """Uses the programs next to ipcluster instead of the fakes."""

    fake = False

    def client(self) -> ipp.Client:
        """A client of ipyparallel on the running cluster."""
        return ipp.Client(str(self.profile / "security" / "ipcontroller-client.json"), timeout=20)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealSandbox]:
    """A profile of its own; nothing of it may run after the test."""
    box = RealSandbox(tmp_path)
    yield box
    try:
        wait_until(lambda: not processes_of(box.profile), box.left_text(), timeout=2)
    finally:
        box.kill_everything()


def engine_pids(rc: ipp.Client) -> list[int]:
    return rc[:].apply_async(os.getpid).get(timeout=20)


def test_start_list_compute_stop(real: RealSandbox) -> None:
    done = real.start("-n", "4")
    assert "4 of 4 engines registered" in done.stdout
    rc = real.client()
    assert rc.ids == [0, 1, 2, 3]
    assert len(set(engine_pids(rc))) == 4
    rc.close()
    fields = real.run("list").stdout.splitlines()[1].split()
    assert fields == ["test", "''", "True", "4", "Local"]
    (listed,) = json.loads(real.run("list", "-o", "json").stdout)
    assert listed == real.cluster()
    begin = time.monotonic()
    assert real.run("stop").returncode == 0
    assert time.monotonic() - begin < 2
    assert processes_of(real.profile) == {}
    assert real.state_files() == []
    names = sorted(file.name for file in (real.profile / "log").iterdir())
    logs = [name for name in names if name.startswith("ipengine-")]
    assert len([name for name in logs if not name.endswith("fork-server.log")]) == 4, (
        "logs are kept"
    )
    assert any(name.startswith("ipcontroller-") for name in names)


def test_lines_that_connect_a_client(real: RealSandbox) -> None:
    done = real.start("-n", "1")
    assert "import ipyfleet as ipp" in done.stdout
    assert "rc = ipp.Client(" in done.stdout
    assert real.run("stop").returncode == 0


def test_second_start_is_refused(real: RealSandbox) -> None:
    real.start("-n", "1")
    again = real.run("start", "-n", "1")
    assert again.returncode == 10
    rc = real.client()
    assert len(engine_pids(rc)) == 1, "the first cluster is unharmed"
    rc.close()
    assert real.run("stop").returncode == 0


def test_stop_while_starting(real: RealSandbox) -> None:
    start = subprocess.Popen(
        real.argv("start", "--daemonize", "-n", "4"),
        env=real.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(
        lambda: real.cluster_file().exists() and real.cluster()["engines"]["sets"],
        "engines are starting",
    )
    assert real.run("stop").returncode == 0
    assert start.wait(20) == 1
    real.assert_nothing_left()


def test_ten_times_ctrl_c(real: RealSandbox) -> None:
    process = real.foreground_ready("-n", "2")
    for _ in range(10):
        process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert "Traceback" not in real.output.read_text()
    real.assert_nothing_left()


def test_ctrl_c_while_engines_compute(real: RealSandbox) -> None:
    process = real.foreground_ready("-n", "2")
    rc = real.client()
    rc[:].apply_async(time.sleep, 600)
    wait_until(lambda: all(q["queue"] for i, q in rc.queue_status().items() if i in rc.ids), "busy")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    rc.close()
    real.assert_nothing_left()


def test_killed_engine_is_reported(real: RealSandbox) -> None:
    process = real.foreground_ready("-n", "2", "--restart=never")
    rc = real.client()
    victim = rc[0].apply_sync(os.getpid)
    os.kill(victim, signal.SIGKILL)
    text = real.wait_for_output("died:", process)
    assert "id 0)" in text
    assert "killed by signal 9 (SIGKILL)" in text
    wait_until(lambda: rc.ids == [1], "the client sees one engine")
    rc.close()
    process.terminate()
    assert process.wait(20) == 0
    real.assert_nothing_left()


def test_killed_controller_ends_the_cluster(real: RealSandbox) -> None:
    process = real.foreground_ready("-n", "2")
    os.kill(real.controller_pid(), signal.SIGKILL)
    assert process.wait(20) == 1
    assert "killed by signal 9 (SIGKILL)" in real.output.read_text()
    real.assert_nothing_left()


def test_cluster_works_on_when_ipcluster_is_killed(real: RealSandbox) -> None:
    process = real.foreground_ready("-n", "2")
    process.kill()
    process.wait()
    rc = real.client()
    assert len(engine_pids(rc)) == 2
    rc.close()
    assert real.run("stop").returncode == 0
    assert processes_of(real.profile) == {}
    real.assert_nothing_left()


def test_shutdown_by_a_client_ends_ipcluster(real: RealSandbox) -> None:
    process = real.foreground_ready("-n", "2")
    rc = real.client()
    rc.shutdown(hub=True, block=True)
    rc.close()
    assert process.wait(20) == 0
    real.assert_nothing_left()


def test_engine_that_cannot_start_is_reported_with_its_log(real: RealSandbox) -> None:
    real.env["PYTHONHOME"] = "/nowhere"
    done = real.run("start", "--daemonize", "-n", "2")
    assert done.returncode == 1
    assert done.stderr.startswith("ipcluster: ") or "\nipcluster: " in done.stderr
    assert "the end of its log" in done.stderr
    real.assert_nothing_left()


def test_arguments_go_to_the_controller(real: RealSandbox) -> None:
    real.start("-n", "1", "--", "--scheme=lru", "--ping=500")
    client_file = real.profile / "security" / "ipcontroller-client.json"
    assert json.loads(client_file.read_text())["task_scheme"] == "lru"
    assert real.run("stop").returncode == 0
    bad = real.run("start", "--daemonize", "-n", "1", "--", "--scheme=bogus")
    assert bad.returncode == 1
    assert "bogus" in bad.stderr
    real.assert_nothing_left()


def test_ipyparallel_opens_and_stops_the_cluster(real: RealSandbox) -> None:
    real.start("-n", "2")
    owner = real.cluster()["ipyfleet"]["ipcluster"]["pid"]
    cluster = ipp.Cluster.from_file(str(real.cluster_file()))
    rc = cluster.connect_client_sync()
    rc.wait_for_engines(2, timeout=20, interactive=False)
    rc.close()
    cluster.stop_cluster_sync()
    wait_until(lambda: not alive(owner), "ipcluster ends with its controller")
    real.assert_nothing_left()


def test_key_is_in_no_environment_or_command_line(real: RealSandbox) -> None:
    real.start("-n", "2")
    client_file = real.profile / "security" / "ipcontroller-client.json"
    key = json.loads(client_file.read_text())["key"].encode()
    assert len(key) > 10
    pids = processes_of(real.profile)
    assert len(pids) >= 4
    for pid in pids:
        for name in ("environ", "cmdline"):
            assert key not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert real.run("stop").returncode == 0


def test_many_engines(real: RealSandbox) -> None:
    real.start("-n", "10")
    rc = real.client()
    assert len(set(engine_pids(rc))) == 10
    rc.close()
    assert real.run("stop").returncode == 0
    real.assert_nothing_left()
