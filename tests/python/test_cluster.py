"""ipp.Cluster with the real programs: start, look, change, stop, and nothing left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import ipyfleet as ipp
import pytest
from cluster_traces import Traces
from ipyfleet.cluster import clean_cluster_files


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    """A profile of the test's own; nothing of it may be left."""
    made = Traces(tmp_path / "profile_test")
    yield made
    made.check_and_clean()


@pytest.fixture
def make(traces: Traces) -> type[ipp.Cluster]:
    """Make clusters in that profile."""

    def made(cls: type[ipp.Cluster] = ipp.Cluster, **kwargs: object) -> ipp.Cluster:
        kwargs.setdefault("profile_dir", str(traces.profile_dir))
        return cls(**kwargs)

    return made  # type: ignore[return-value]


def test_start_connect_compute_stop(make, traces: Traces) -> None:
    cluster = make(n=2)
    rc = cluster.start_and_connect_sync()
    try:
        assert rc.ids == [0, 1]
        pids = rc[:].apply_sync(os.getpid)
        assert len({*pids, os.getpid()}) == 3
        assert rc.cluster is cluster
        assert cluster.controller.running
        assert cluster.engine_set.n == 2
        assert list(cluster.engines.values()) == [cluster.engine_set]
        content = json.loads(Path(cluster.cluster_file).read_text())
        assert content["cluster"]["class"] == "ipyparallel.cluster.cluster.Cluster"
        assert content["cluster"]["n"] == 2
        assert content["controller"]["class"] == content["engines"]["class"] == "local"
        assert os.stat(cluster.cluster_file).st_mode & 0o777 == 0o600
    finally:
        rc.close()
        cluster.stop_cluster_sync()
    assert cluster.controller is None
    assert cluster.engines == {}
    traces.assert_nothing_runs()
    assert not os.path.exists(cluster.cluster_file)


def test_with_stops_also_when_the_body_raises(make, traces: Traces) -> None:
    cluster = make(n=1)

    def body() -> None:
        with cluster as rc:
            assert rc[0].apply_sync(abs, -1) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    traces.assert_nothing_runs()
    assert cluster._context_client is None


def test_async_with_and_the_methods_in_a_running_loop(make, traces: Traces) -> None:
    async def body() -> None:
        async with make(n=1) as rc:
            assert rc.ids == [0]
            cluster = rc.cluster
            second = await cluster.start_engines(n=1)
            rc.wait_for_engines(2, timeout=30, interactive=False)
            await cluster.stop_engines(second)
            # A notebook runs a loop, and its users call the twins there.
            third = cluster.start_engines_sync(n=1)
            assert list(cluster.engines)[1:] == [third]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(body())
    traces.assert_nothing_runs()


def test_a_twin_called_by_a_coroutine_of_a_twin_is_refused(make) -> None:
    class Nested(ipp.Cluster):
        async def start_controller(self, **kwargs: object) -> None:
            self.stop_cluster_sync()

    with pytest.raises(RuntimeError, match="use the method without _sync"):
        make(Nested).start_controller_sync()


def test_several_sets_signals_and_single_engines(make) -> None:
    cluster = make(n=2)
    with cluster as rc:
        first = next(iter(cluster.engines))
        second = cluster.start_engines_sync(1)
        assert first != second
        rc.wait_for_engines(3, timeout=30, interactive=False)
        (new,) = set(rc.ids) - {0, 1}

        sleeping = rc[:].apply_async(time.sleep, 30)
        busy = lambda: all(rc.queue_status()[i]["queue"] for i in rc.ids)  # noqa: E731
        _until(busy, "all engines busy")
        cluster.signal_engine_sync(signal.SIGINT, new)
        _until(lambda: not rc.queue_status()[new]["queue"], "one interrupted")
        assert rc.queue_status()[0]["queue"] == 1, "only the one"
        cluster.signal_engines_sync(signal.SIGINT, first)
        with pytest.raises(ipp.CompositeError, match="KeyboardInterrupt"):
            sleeping.get(timeout=20)

        cluster.stop_engines_sync(second)
        _until(lambda: rc.ids == [0, 1], "the second set is gone")
        cluster.stop_engine_sync(1)
        _until(lambda: rc.ids == [0], "engine 1 is gone")
        assert cluster.engine_set.running
        with pytest.raises(IndexError, match="engine 7"):
            cluster.stop_engine_sync(7)
        with pytest.raises(KeyError, match="no engine set 'x'"):
            cluster.stop_engines_sync("x")


def test_restart_of_an_engine_and_of_a_set(make) -> None:
    cluster = make(n=2)
    with cluster as rc:
        before = rc[:].apply_sync(os.getpid)
        cluster.restart_engine_sync(1)
        _until(lambda: rc.ids == [0, 1], "this client knows, too")
        after = rc[:].apply_sync(os.getpid)
        assert after[0] == before[0]
        assert after[1] != before[1]
        (set_id,) = cluster.engines
        cluster.restart_engines_sync()
        assert list(cluster.engines) == [set_id]
        _until(lambda: len(rc.ids) == 2, "a new set")
        assert not {*after} & {*rc[:].apply_sync(os.getpid)}


def test_get_output(make) -> None:
    cluster = make(n=1)
    with cluster:
        assert "Completed registration with id 0" in cluster.engine_set.get_output()
        assert "task::using" in cluster.controller.get_output()


@pytest.mark.parametrize("how", ["path", "profile_dir", "profile"])
def test_from_file_connects_and_stops(
    make, traces: Traces, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(traces.profile_dir.parent))
    first = make(n=2, cluster_id="known", shutdown_atexit=False)
    first.start_cluster_sync()
    given = {
        "path": {"cluster_file": first.cluster_file},
        "profile_dir": {"profile_dir": str(traces.profile_dir), "cluster_id": "known"},
        "profile": {"profile": "test", "cluster_id": "known"},
    }[how]
    again = ipp.Cluster.from_file(**given)
    assert repr(again).startswith("<Cluster(cluster_id='known', profile='test'")
    assert again.n == 2
    assert not again.shutdown_atexit
    assert list(again.engines) == list(first.engines)
    rc = again.connect_client_sync()
    rc.wait_for_engines(timeout=30, interactive=False)
    assert len(rc[:].apply_sync(os.getpid)) == 2
    rc.close()
    again.stop_cluster_sync()
    traces.assert_nothing_runs()
    _until(lambda: first.controller.state == "after", "the first sees it")


def test_from_file_without_a_file_says_so(make, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such cluster runs"):
        ipp.Cluster.from_file(profile_dir=str(tmp_path), cluster_id="none")
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    with pytest.raises(ValueError, match="is not a cluster file"):
        ipp.Cluster.from_file(bad)


def test_file_of_what_was_killed_is_stale(make, traces: Traces) -> None:
    first = make(n=1, cluster_id="k", shutdown_atexit=False)
    first.start_cluster_sync()
    text = Path(first.cluster_file).read_text()
    first.stop_cluster_sync()
    Path(first.cluster_file).write_text(text)
    found = ipp.Cluster.from_file(first.cluster_file)
    assert found.controller is None
    assert found.engines == {}
    assert not os.path.exists(first.cluster_file), "nothing of it runs"
    Path(first.cluster_file).write_text(text)
    with make(n=1, cluster_id="k") as rc:  # nor does it hinder a new start
        assert rc.ids == [0]


def test_a_cluster_that_runs_is_not_started_twice(make) -> None:
    first = make(n=1, cluster_id="one")
    with first:
        with pytest.raises(RuntimeError, match=r"runs already \(pids \d+.*from_file"):
            make(n=1, cluster_id="one").start_cluster_sync()
        with pytest.raises(RuntimeError, match=r"stop_controller\(\) ends it"):
            first.start_controller_sync()
        assert first.controller.running


def test_controller_that_cannot_start(make, traces: Traces) -> None:
    with pytest.raises(RuntimeError, match=r"controller ended \(exit status 2\)(.|\n)*bogus"):
        make(n=1, controller_args=["--scheme=bogus"]).start_and_connect_sync()
    traces.assert_nothing_runs()


def test_engine_that_cannot_start(make, traces: Traces) -> None:
    begin = time.monotonic()
    cluster = make(n=2)
    cluster.config.LocalEngineSetLauncher.engine_args = ["--no-such-option"]
    with pytest.raises(ipp.EngineError, match=r"exit status 2(.|\n)*--no-such-option"):
        cluster.start_and_connect_sync()
    assert time.monotonic() - begin < 20, "not after engine_timeout"
    traces.assert_nothing_runs()


def test_program_that_is_not_there(make, traces: Traces) -> None:
    cluster = make(n=1)
    cluster.config.EngineLauncher.engine_cmd = ["/no/such/program"]
    with pytest.raises(OSError, match="/no/such/program"):
        cluster.start_cluster_sync()
    traces.assert_nothing_runs()


def test_unknown_launcher_names_the_known_ones(make) -> None:
    with pytest.raises(Exception, match=r"no engine launcher 'slurmm'.*local.*slurm"):
        make(engines="slurmm")
    with pytest.raises(TypeError, match="engines or engine_launcher_class"):
        make(engines="local", engine_launcher_class="local")


def test_the_cluster_of_a_program_ends_with_it(traces: Traces) -> None:
    program = (
        "import ipyfleet as ipp, sys\n"
        f"rc = ipp.Cluster(n=1, profile_dir={str(traces.profile_dir)!r}).start_and_connect_sync()\n"
        "print(rc.ids)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[0]\n"), done.stderr
    assert "Traceback" not in done.stderr
    traces.assert_nothing_runs()


def test_a_cluster_that_nobody_holds_stops(make, traces: Traces) -> None:
    import gc

    cluster = make(n=1)
    cluster.start_cluster_sync()
    del cluster
    gc.collect()
    traces.assert_nothing_runs()


def test_manager_finds_and_forgets(make, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(traces.profile_dir.parent))
    manager = ipp.ClusterManager()
    assert manager.load_clusters() == {}
    traces.profile_dir.mkdir(exist_ok=True)
    assert list(manager.load_clusters(init_default_clusters=True)) == ["test:"]
    key, cluster = manager.new_cluster(profile="test", cluster_id="new", n=1)
    assert key == "test:new"
    assert manager.get_cluster(key) is cluster
    with pytest.raises(KeyError, match="test:new"):
        manager.new_cluster(profile="test", cluster_id="new")
    with cluster:
        other = ipp.ClusterManager()
        (found,) = other.load_clusters(profile="test").values()
        assert found.controller.pid == cluster.controller.pid
        with pytest.raises(ValueError, match="runs"):
            clean_cluster_files(str(traces.profile_dir))
    _until(lambda: found.controller.state == "after", "the end is seen")
    assert other.load_clusters(profile="test") == {}
    clean_cluster_files(str(traces.profile_dir))
    assert list((traces.profile_dir / "log").iterdir()) == []
    manager.remove_cluster(key)
    assert key not in manager.clusters
    with pytest.raises(FileNotFoundError, match="no profile 'nobody'"):
        manager.load_clusters(profile="nobody")


def _until(condition, what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)
