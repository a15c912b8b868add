"""Broadcast views."""

from __future__ import annotations

import os
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, Cluster, wait_until

T = 5


@ipp.interactive
def fail_on(pid: int) -> int:
    """Fail on one engine."""
    import os

    print("here")
    if os.getpid() == pid:
        raise ValueError("only here")
    return os.getpid()


@pytest.mark.parametrize("is_coalescing", [False, True])
def test_calls_reach_all_engines_in_the_order_of_targets(
    rc: ipp.Client, is_coalescing: bool
) -> None:
    pids = rc[:].apply_sync(os.getpid)
    view = rc.broadcast_view(is_coalescing=is_coalescing)
    assert view.apply_sync(os.getpid) == pids
    backwards = rc.broadcast_view([1, 0], is_coalescing=is_coalescing)
    result = backwards.apply_async(os.getpid)
    assert result.get(T) == pids[::-1]
    assert result.engine_id == [1, 0]
    assert result.get_dict() == {0: pids[0], 1: pids[1]}


def test_an_error_leaves_the_other_results(rc: ipp.Client) -> None:
    pids = rc[:].apply_sync(os.getpid)
    result = rc.broadcast_view().apply_async(fail_on, pids[1])
    first, second = result.get(T, return_exceptions=True)
    assert first == pids[0]
    assert second.ename == "ValueError"
    assert second.engine_info["engine_id"] == 1
    assert result.wait_for_output(T)
    assert result.stdout == ["here\n"] * ENGINES
    with pytest.raises(ipp.CompositeError, match="only here"):
        result.get()


def test_data_and_source_text(rc: ipp.Client) -> None:
    view = rc.broadcast_view(block=True)
    view.push({"x": bytes(100_000)})
    assert view.pull("len(x)") == [100_000] * ENGINES
    view.execute("x = 7; print('done')")
    assert view["x"] == [7] * ENGINES
    view.scatter("part", range(10))
    assert view.gather("part") == list(range(10))
    assert view.map_sync(abs, range(-5, 0)) == [5, 4, 3, 2, 1]


def test_parts_arrive_before_the_calls_that_need_them(rc: ipp.Client) -> None:
    view = rc.broadcast_view()
    for number in range(10):
        view.scatter("late", [number] * ENGINES, flatten=True)
        assert view.apply_sync(abs, ipp.Reference("late")) == [number] * ENGINES


def test_message_ids_are_those_on_the_wire(rc: ipp.Client) -> None:
    view = rc.broadcast_view()
    result = view.apply_async(os.getpid)
    assert [each.rpartition("_")[2] for each in result.msg_ids] == list(rc.engines.values())
    assert result.get(T) == rc.get_result(result.msg_ids).get(T)
    assert view.history == result.msg_ids
    assert set(result.msg_ids) <= set(rc.history)


def test_many_outstanding_broadcasts(rc: ipp.Client) -> None:
    view = rc.broadcast_view()
    results = [view.apply_async(pow, 2, each) for each in range(50)]
    assert [result.get(T) for result in results] == [[2**each] * ENGINES for each in range(50)]
    assert rc.outstanding == set()


def test_an_engine_that_dies_fails_its_part(own_cluster: Cluster) -> None:
    @ipp.interactive
    def stop(pid: int) -> Any:
        import os
        import time

        if os.getpid() == pid:
            os.kill(pid, 9)
        time.sleep(0.1)
        return os.getpid()

    with ipp.Client(own_cluster.file, timeout=20) as rc:
        rc.wait_for_engines(ENGINES, timeout=40)
        pids = rc[:].apply_sync(os.getpid)
        result = rc.broadcast_view().apply_async(stop, pids[0])
        lost, alive = result.get(T, return_exceptions=True)
        assert isinstance(lost, ipp.EngineError)
        assert alive == pids[1]
        wait_until(lambda: rc.broadcast_view().apply_sync(os.getpid)[-1:] == pids[1:], "again", T)
