"""The cluster file with several writers, and with sets of engines of several kinds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading

import ipyfleet as ipp
import pytest

from .harness import MPI_ENVIRONMENT, Sandbox, processes_of, wait_until


def all_sets(sandbox: Sandbox) -> dict[str, str]:
    """The launcher's name of each set in the file."""
    content = sandbox.cluster()
    engines = content["engines"]
    others = content["ipyfleet"].get("engine_sets", {})
    return dict.fromkeys(engines["sets"], engines["class"]) | {
        set_id: each["class"] for set_id, each in others.items()
    }


def adders(sandbox: Sandbox) -> list[int]:
    """The processes of `ipcluster engines`."""
    return [pid for pid, line in processes_of(sandbox.profile).items() if " engines " in line]


def test_writers_lose_nothing_of_each_other(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    cluster = ipp.Cluster.from_file(profile_dir=str(sandbox.profile))
    enough = threading.Event()
    written = 0

    def write_again_and_again() -> None:
        nonlocal written
        while not enough.is_set():
            cluster.write_cluster_file()
            written += 1

    writer = threading.Thread(target=write_again_and_again)
    writer.start()
    try:
        added = [
            subprocess.Popen(
                sandbox.argv("engines", "-n", "1", "--daemonize"),
                env=sandbox.env,
                cwd=sandbox.root,
                stdout=subprocess.DEVNULL,
            )
            for _ in range(4)
        ]
        assert [each.wait(60) for each in added] == [0] * 4
    finally:
        enough.set()
        writer.join()
    assert written > 4
    assert sorted(all_sets(sandbox).values()) == ["local"] * 5
    one = adders(sandbox)[0]
    os.kill(one, signal.SIGTERM)
    wait_until(lambda: len(all_sets(sandbox)) == 4, "the set that was stopped is gone")
    cluster.write_cluster_file()
    assert len(all_sets(sandbox)) == 4
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()
    cluster.stop_cluster_sync()


@pytest.mark.skipif(
    shutil.which("mpiexec") is None, reason="no mpiexec; apt-get install openmpi-bin"
)
@pytest.mark.parametrize("stopped_by", ["ipcluster", "Cluster"])
def test_engines_of_another_kind_end_with_the_cluster(sandbox: Sandbox, stopped_by: str) -> None:
    sandbox.env |= MPI_ENVIRONMENT
    sandbox.start("-n", "1")
    added = sandbox.run("engines", "-n", "1", "--engines=mpi", "--daemonize")
    assert added.returncode == 0, added.stderr
    assert sorted(all_sets(sandbox).values()) == ["local", "mpi"]
    (adder,) = adders(sandbox)
    os.kill(adder, signal.SIGKILL)  # nobody is left who would see that the file goes
    if stopped_by == "ipcluster":
        assert sandbox.run("stop").returncode == 0
    else:
        cluster = ipp.Cluster.from_file(profile_dir=str(sandbox.profile))
        assert sorted(type(each).__name__ for each in cluster.engines.values()) == [
            "LocalEngineSetLauncher",
            "MPIEngineSetLauncher",
        ]
        cluster.stop_cluster_sync()
    sandbox.assert_nothing_left()


def test_a_cluster_takes_over_what_was_added_before_it_stops(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    cluster = ipp.Cluster.from_file(profile_dir=str(sandbox.profile))
    assert sandbox.run("engines", "-n", "1", "--daemonize").returncode == 0
    (adder,) = adders(sandbox)
    os.kill(adder, signal.SIGKILL)
    assert len(cluster.engines) == 1
    cluster.stop_cluster_sync()
    sandbox.assert_nothing_left()


def test_a_writer_that_stands_still_is_not_waited_for_for_ever(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipyfleet.cluster import clusterfile

    path = sandbox.cluster_file()
    path.parent.mkdir(parents=True)
    with clusterfile.locked(path), clusterfile.locked(path, 0.05):
        clusterfile.write(path, {"cluster": {}})
    assert [each.name for each in path.parent.iterdir()] == [path.name]
