"""Clusters again and again, also with a process killed: nothing is left."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import ipyfleet as ipp
import psutil
import pytest
from cluster_traces import Traces

FULL = "IPF_FULL" in os.environ
CYCLES, KILLED = (200, 50) if FULL else (6, 4)


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    """A profile of the test's own; nothing of it may be left."""
    made = Traces(tmp_path / "profile_test")
    yield made
    made.check_and_clean()


def own_state() -> tuple[int, int, set[str]]:
    """Return open descriptors, threads and temporary files of this process."""
    me = psutil.Process()
    return me.num_fds(), me.num_threads(), {each.name for each in Path("/dev/shm").glob("*ipf*")}


def assert_clean(traces: Traces) -> None:
    traces.assert_nothing_runs()
    left = [each.name for name in ("log", "tmp") for each in (traces.profile_dir / name).glob("*")]
    assert [name for name in left if not name.endswith(".log")] == []


@pytest.mark.timeout(900)
def test_start_and_stop(traces: Traces) -> None:
    before = None
    for cycle in range(CYCLES):
        with ipp.Cluster(n=2, profile_dir=str(traces.profile_dir)) as rc:
            assert len(rc[:].apply_sync(os.getpid)) == 2
        assert_clean(traces)
        if cycle == 1:
            before = own_state()
    assert before is not None
    after = own_state()
    assert after[0] <= before[0] + 2, "descriptors"
    assert after[1] <= before[1] + 2, "threads"
    assert after[2] == before[2]
    assert len(list((traces.profile_dir / "log").iterdir())) <= 210


@pytest.mark.timeout(900)
def test_one_process_is_killed(traces: Traces) -> None:
    rng = random.Random(7)
    for cycle in range(KILLED):
        cluster = ipp.Cluster(n=2, profile_dir=str(traces.profile_dir))
        rc = cluster.start_and_connect_sync()
        victims = sorted(traces.processes())
        victim = rng.choice(victims)
        command = traces.processes()[victim]
        os.kill(victim, signal.SIGKILL)
        rc.close()
        cluster.stop_cluster_sync()
        try:
            assert_clean(traces)
        except AssertionError as failure:
            raise AssertionError(f"cycle {cycle}, killed {victim}: {command}") from failure
