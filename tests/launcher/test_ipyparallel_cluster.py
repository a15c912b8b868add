"""Level D: an unmodified ipyparallel.Cluster starts, steers and stops our programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ipyparallel as ipp
import pytest
from traitlets.config import Config

from .harness import bin_dir, processes_of, wait_until

os.environ["IPP_NONINTERACTIVE"] = "1"

MakeCluster = Callable[..., ipp.Cluster]


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[Path]:
    """A profile of the test's own; nothing of it may run after the test."""
    directory = tmp_path / "profile_test"
    for name in ("security", "log", "pid", "startup"):
        (directory / name).mkdir(parents=True, mode=0o700)
    yield directory
    try:
        wait_until(lambda: not processes_of(directory), "all processes gone", timeout=5)
        assert [each.name for each in (directory / "security").iterdir()] == []
    finally:
        for pid in processes_of(directory):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def make(profile: Path) -> MakeCluster:
    """Make clusters of ipyparallel that start our programs."""

    def made(**kwargs: object) -> ipp.Cluster:
        config = Config()
        config.ControllerLauncher.controller_cmd = [str(bin_dir() / "ipcontroller")]
        config.EngineLauncher.engine_cmd = [str(bin_dir() / "ipengine")]
        defaults = {"profile_dir": str(profile), "config": config, "delay": 0, "n": 2}
        return ipp.Cluster(**(defaults | kwargs))

    return made


def pids(rc: ipp.Client) -> list[int]:
    return rc[:].apply_async(os.getpid).get(timeout=20)


def test_start_compute_and_stop(make: MakeCluster, profile: Path) -> None:
    cluster = make()
    with cluster as rc:
        assert rc.ids == [0, 1]
        assert len({*pids(rc)}) == 2
        assert len(rc.load_balanced_view().map_sync(abs, range(-9, 0))) == 9
        assert cluster.controller.running
    assert processes_of(profile) == {}


def test_arguments_reach_our_programs(make: MakeCluster) -> None:
    cluster = make(
        n=1,
        controller_args=["--scheme=lru", "--ping=500"],
        controller_ip="127.0.0.1",
        controller_location="127.0.0.1",
    )
    with cluster as rc:
        rc.wait_for_engines(1, timeout=20, interactive=False)
        assert rc._task_scheme == "lru"


def test_a_signal_interrupts_engines(make: MakeCluster) -> None:
    cluster = make()
    with cluster as rc:
        sleeping = rc[:].apply_async(time.sleep, 60)
        wait_until(
            lambda: all(q["queue"] for i, q in rc.queue_status().items() if i in (0, 1)), "busy"
        )
        cluster.signal_engines_sync(signal.SIGINT)
        with pytest.raises(ipp.CompositeError, match="KeyboardInterrupt"):
            sleeping.get(timeout=20)
        assert len(pids(rc)) == 2, "they live on"


def test_restart_and_more_sets(make: MakeCluster) -> None:
    cluster = make()
    with cluster as rc:
        before = pids(rc)
        second = cluster.start_engines_sync(n=1)
        rc.wait_for_engines(3, timeout=20, interactive=False)
        cluster.stop_engines_sync(second)
        wait_until(lambda: len(rc.ids) == 2, "the second set is gone")
        cluster.restart_engines_sync()
        rc.wait_for_engines(2, timeout=20, interactive=False)
        wait_until(lambda: len(rc.ids) == 2 and not {*pids(rc)} & {*before}, "new engines")


def test_from_file_takes_over(make: MakeCluster, profile: Path) -> None:
    program = (
        "import ipyparallel as ipp\n"
        "from traitlets.config import Config\n"
        "c = Config()\n"
        f"c.ControllerLauncher.controller_cmd = [{str(bin_dir() / 'ipcontroller')!r}]\n"
        f"c.EngineLauncher.engine_cmd = [{str(bin_dir() / 'ipengine')!r}]\n"
        f"cluster = ipp.Cluster(profile_dir={str(profile)!r}, cluster_id='f', config=c, delay=0,\n"
        "    n=2, shutdown_atexit=False)\n"
        "cluster.start_cluster_sync()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    cluster = ipp.Cluster.from_file(profile_dir=str(profile), cluster_id="f")
    with cluster.connect_client_sync() as rc:
        rc.wait_for_engines(2, timeout=20, interactive=False)
        assert len({*pids(rc)}) == 2
    cluster.stop_cluster_sync()
    assert not (profile / "security" / "cluster-f.json").exists()


def test_an_engine_that_cannot_start_is_an_error_at_once(make: MakeCluster) -> None:
    cluster = make(n=1)
    cluster.config.EngineLauncher.engine_args = ["--no-such-option"]
    begin = time.monotonic()
    with pytest.raises(ipp.error.EngineError):
        cluster.start_and_connect_sync()
    assert time.monotonic() - begin < 30
    cluster.stop_cluster_sync()


def test_our_cluster_opens_what_ipyparallel_started(make: MakeCluster) -> None:
    import ipyfleet

    theirs = make(cluster_id="t")
    with theirs as rc:
        ours = ipyfleet.Cluster.from_file(theirs.cluster_file)
        assert ours.controller.pid == theirs.controller.pid
        with ours.connect_client_sync() as client:
            client.wait_for_engines(2, timeout=20, interactive=False)
            assert sorted(client[:].apply_sync(os.getpid)) == sorted(pids(rc))
        rc.close()
        ours.stop_cluster_sync()
        wait_until(lambda: theirs.controller.poll() is not None, "theirs sees the end")


def test_our_cluster_stops_a_cluster_of_ipyparallels_own_programs(profile: Path) -> None:
    import ipyfleet

    theirs = ipp.Cluster(profile_dir=str(profile), cluster_id="p", delay=0, n=1)
    theirs.start_cluster_sync()
    ours = ipyfleet.Cluster.from_file(profile_dir=str(profile), cluster_id="p")
    assert ours.controller.running
    assert ours.engine_set.n == 1
    with ours.connect_client_sync(timeout=30) as client:
        client.wait_for_engines(1, timeout=30, interactive=False)
        assert client[0].apply_sync(abs, -1) == 1
    ours.stop_cluster_sync()
    wait_until(lambda: theirs.controller.poll() is not None, "theirs sees the end")
    theirs.stop_cluster_sync()
