"""Clusters that grow and shrink."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import ipyfleet as ipp
import pytest
from cluster_traces import Traces
from ipyfleet.cluster.elastic import Load, decide


@pytest.mark.parametrize(
    ("load", "wanted"),
    [
        (Load(engines=0, starting=0, waiting=0, idle=()), (1, ())),
        (Load(engines=0, starting=1, waiting=5, idle=()), (3, ())),
        (Load(engines=2, starting=0, waiting=1, idle=()), (1, ())),
        (Load(engines=2, starting=2, waiting=1, idle=()), (0, ())),
        (Load(engines=2, starting=0, waiting=9, idle=()), (2, ())),
        (Load(engines=4, starting=0, waiting=9, idle=()), (0, ())),
        (Load(engines=4, starting=0, waiting=0, idle=(0, 2, 3)), (0, (0, 2, 3))),
        (Load(engines=4, starting=0, waiting=0, idle=(0, 1, 2, 3)), (0, (1, 2, 3))),
        (Load(engines=4, starting=0, waiting=1, idle=(3,)), (0, ())),
        (Load(engines=1, starting=0, waiting=0, idle=(0,)), (0, ())),
    ],
)
def test_decision(load: Load, wanted: tuple[int, tuple[int, ...]]) -> None:
    assert decide(load, minimum=1, maximum=4) == wanted


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    """A profile of the test's own; nothing of it may be left."""
    made = Traces(tmp_path / "profile_test")
    yield made
    made.check_and_clean()


def test_engines_come_with_work_and_go_without(traces: Traces) -> None:
    cluster = ipp.Cluster(n=1, profile_dir=str(traces.profile_dir))
    with cluster as rc:
        adaptive = cluster.adapt(1, 3, interval=0.1, idle_seconds=0.5)
        view = rc.load_balanced_view()
        tasks = [view.apply_async(time.sleep, 0.3) for _ in range(12)]
        most = 0
        end = time.monotonic() + 60
        while not all(each.ready() for each in tasks):
            most = max(most, len(rc))
            assert time.monotonic() < end
            time.sleep(0.02)
        assert most == 3
        while len(rc) > 1:
            assert time.monotonic() < end, rc.queue_status()
            time.sleep(0.05)
        assert adaptive.maximum == 3
    with pytest.raises(ValueError, match="0 <= minimum <= maximum"):
        cluster.adapt(3, 2)
