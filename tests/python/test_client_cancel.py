"""Cancelling calls that run, wait on an engine, or wait in the scheduler."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, PEER_PYTHON

T = 20
ours_only = pytest.mark.skipif(bool(PEER_PYTHON), reason="engines of ipyparallel cannot do it")


@ipp.interactive
def nap(seconds: float, value: Any = None) -> Any:
    """Take some time."""
    global naps
    import time

    naps = globals().get("naps", 0) + 1
    time.sleep(seconds)
    return value


def wait_for_start(view: Any) -> None:
    """Wait until the call that was sent last is surely running."""
    time.sleep(0.4)


@ours_only
def test_a_running_call_is_stopped(rc: ipp.Client) -> None:
    view = rc[0]
    view.push({"kept": 5}, block=True)
    result = view.apply_async(nap, 100)
    wait_for_start(view)
    start = time.monotonic()
    assert result.cancel()
    assert time.monotonic() - start < 3
    assert result.cancelled()
    assert result.done()
    with pytest.raises(ipp.TaskCancelled):
        result.get(T)
    with pytest.raises(concurrent.futures.CancelledError):
        result.result(T)
    assert isinstance(result.exception(), ipp.TaskAborted)
    assert result.cancel(), "again"
    assert view.pull("kept", block=True) == 5


@ours_only
def test_running_load_balanced_calls_are_stopped(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    result = view.map_async(nap, [100] * ENGINES)
    wait_for_start(view)
    assert result.cancel()
    with pytest.raises(ipp.TaskCancelled):
        result.get(T)
    assert view.map_sync(pow, [2, 3], [2, 2]) == [4, 9]


@ours_only
def test_all_engines_of_a_view_are_stopped(rc: ipp.Client) -> None:
    for view in (rc[:], rc.broadcast_view()):
        result = view.apply_async(nap, 100)
        wait_for_start(view)
        assert result.cancel()
        assert view.apply_sync(pow, 2, 2) == [4] * ENGINES


def test_a_call_that_waits_on_its_engine_never_runs(rc: ipp.Client) -> None:
    view = rc[0]
    view.execute("naps = 0", block=True)
    running = view.apply_async(nap, 0.6, "done")
    waiting = view.apply_async(nap, 0)
    assert waiting.cancel()
    assert waiting.cancelled()
    assert running.get(T) == "done"
    assert not running.cancelled()
    assert view.pull("naps", block=True) == 1


@ours_only
def test_a_call_that_waits_in_the_scheduler_never_runs(rc: ipp.Client) -> None:
    rc[:].execute("naps = 0", block=True)
    view = rc.load_balanced_view()
    running = [view.apply_async(nap, 0.6) for _ in range(ENGINES)]
    waiting = [view.apply_async(nap, 0) for _ in range(3)]
    for result in waiting:
        assert result.cancel()
    _, rest = concurrent.futures.wait([*running, *waiting], timeout=T)
    assert not rest
    assert [each.cancelled() for each in waiting] == [True] * 3
    rc.wait(timeout=T)
    assert sum(rc[:].pull("naps", block=True)) == ENGINES


def test_what_has_ended_cannot_be_cancelled(rc: ipp.Client) -> None:
    result = rc[0].apply_async(pow, 2, 2)
    result.wait(T)
    assert not result.cancel()
    assert not result.cancelled()
    assert result.get() == 4


@ours_only
def test_callbacks_of_a_cancelled_call(rc: ipp.Client) -> None:
    called: list[bool] = []
    result = rc[0].apply_async(nap, 100)
    result.add_done_callback(lambda each: called.append(each.cancelled()))
    wait_for_start(rc[0])
    assert result.cancel()
    assert concurrent.futures.wait([result], T).not_done == set()
    rc[0].apply_sync(pow, 1, 1)
    assert called in ([True], [False]), "once; the reply may come before cancel knows"
