"""Unmodified client: load-balanced and broadcast views."""

from __future__ import annotations

import os

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import CompositeError, RemoteError

from .conftest import SHARED_ENGINES
from .pairings import A, C
from .polling import wait_until

T = 20.0


@interactive
def square(x: int) -> int:
    """A task."""
    return x * x


@interactive
def nap(seconds: float) -> int:
    """Sleep on the engine; return its pid."""
    import os
    import time

    time.sleep(seconds)
    return os.getpid()


@interactive
def fail() -> None:
    """Raise."""
    raise ValueError("on purpose")


@pytest.mark.parametrize("chunksize", [1, 7, 100])
def test_map_keeps_order_for_each_chunksize(rc: ipp.Client, chunksize: int) -> None:
    view = rc.load_balanced_view()
    ar = view.map_async(square, range(50), chunksize=chunksize)
    assert list(ar.get(timeout=T)) == [x * x for x in range(50)]
    assert len(ar.msg_ids) == -(-50 // chunksize)


def test_map_of_the_tutorial(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    products = list(view.map(interactive(lambda a, b: a * b), range(1, 20), range(2, 21)))
    assert products == [n * (n + 1) for n in range(1, 20)]


def test_map_iterates_while_tasks_run_and_unordered_has_all(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    assert next(iter(view.map(square, range(20), block=False))) == 0
    unordered = view.map(square, range(30), block=False, ordered=False)
    assert sorted(unordered) == sorted(x * x for x in range(30))
    assert list(view.imap(square, range(40), max_outstanding=5)) == [x * x for x in range(40)]


def test_map_error_names_the_task(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    ar = view.map_async(interactive(lambda x: 1 // (x - 3)), range(6))
    with pytest.raises((RemoteError, CompositeError), match="ZeroDivisionError"):
        ar.get(timeout=T)


def test_every_engine_gets_work(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    pids = view.map_async(nap, [0.02] * 8 * SHARED_ENGINES, chunksize=1).get(timeout=T)
    assert len(set(pids)) == SHARED_ENGINES


def test_targets_restrict_a_balanced_view(rc: ipp.Client) -> None:
    allowed = [rc[i].apply_sync(os.getpid) for i in (0, 2)]
    view = rc.load_balanced_view(targets=[0, 2])
    pids = view.map_async(nap, [0.01] * 12, chunksize=1).get(timeout=T)
    assert set(pids) <= set(allowed)


def test_execute_on_the_task_path(rc: ipp.Client) -> None:
    view = rc.load_balanced_view(targets=[1])
    ar = view.apply_async(interactive(lambda: exec("marker = 11", globals())))
    ar.get(timeout=T)
    assert rc[1]["marker"] == 11


def test_unmet_dependency_moves_to_another_engine(rc: ipp.Client) -> None:
    rc[2].push({"special": True}, block=True)

    @ipp.depend(interactive(lambda: "special" in globals()))
    @interactive
    def where() -> int:
        import os

        return os.getpid()

    view = rc.load_balanced_view()
    pids = [view.apply_async(where) for _ in range(6)]
    assert {ar.get(timeout=T) for ar in pids} == {rc[2].apply_sync(os.getpid)}


def test_retries_use_another_engine(rc: ipp.Client) -> None:
    rc[0].push({"lucky": True}, block=True)
    view = rc.load_balanced_view()
    with view.temp_flags(retries=SHARED_ENGINES - 1):
        results = [view.apply_async(interactive(lambda: lucky)) for _ in range(4)]  # noqa: F821
    assert [ar.get(timeout=T) for ar in results] == [True] * 4


def test_error_after_the_last_retry(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    with view.temp_flags(retries=1):
        ar = view.apply_async(fail)
    with pytest.raises(RemoteError, match="on purpose"):
        ar.get(timeout=T)


def test_retries_beyond_the_engines_end_with_the_timeout(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    with view.temp_flags(retries=SHARED_ENGINES + 2, timeout=0.5):
        ar = view.apply_async(fail)
    with pytest.raises(RemoteError, match="TaskTimeout"):
        ar.get(timeout=T)


def test_timeout_limits_the_queue_not_the_run(rc: ipp.Client) -> None:
    view = rc.load_balanced_view(targets=[0])
    with view.temp_flags(timeout=0.3):
        running = view.apply_async(nap, 1.0)
        queued = view.apply_async(nap, 0)
    with pytest.raises(RemoteError, match="TaskTimeout"):
        queued.get(timeout=T)
    assert running.get(timeout=T) == rc[0].apply_sync(os.getpid)


def test_1000_small_tasks_come_back_once_each(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    results = [view.apply_async(square, i) for i in range(1000)]
    assert [ar.get(timeout=60) for ar in results] == [i * i for i in range(1000)]


@pytest.mark.pairings(A, C, why="the reference keeps retried tasks counted (protocol.md 4.4)")
def test_no_task_stays_counted_after_retries_and_failures(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    with view.temp_flags(retries=1):
        results = [view.apply_async(fail) for _ in range(5)]
    results += [view.apply_async(square, i) for i in range(20)]
    for ar in results:
        ar.wait(T)

    def nothing_left() -> bool:
        status = rc.queue_status()
        return status["unassigned"] == 0 and all(status[i]["tasks"] == 0 for i in rc.ids)

    wait_until(nothing_left, "queue_status counts no task")


def test_broadcast_answers_in_target_order(rc: ipp.Client) -> None:
    pids = [rc[i].apply_sync(os.getpid) for i in rc.ids]
    view = rc.broadcast_view()
    assert view.apply_async(os.getpid).get(timeout=T) == pids
    subset = rc.broadcast_view([2, 0])
    assert subset.apply_async(os.getpid).get(timeout=T) == [pids[2], pids[0]]
    view.push({"shared": b"x" * 100_000}, block=True)
    assert [len(x) for x in view.pull("shared", block=True)] == [100_000] * SHARED_ENGINES


def test_broadcast_outputs_belong_to_their_engine(rc: ipp.Client) -> None:
    ar = rc.broadcast_view().execute("import os; print('pid', os.getpid())")
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    pids = [rc[i].apply_sync(os.getpid) for i in rc.ids]
    assert ar.stdout == [f"pid {pid}\n" for pid in pids]


def test_coalescing_broadcast_has_one_value_for_each_engine(rc: ipp.Client) -> None:
    pids = {i: rc[i].apply_sync(os.getpid) for i in rc.ids}
    ar = rc.broadcast_view(is_coalescing=True).apply_async(os.getpid)
    values = ar.get(timeout=T)
    assert sorted(values) == sorted(pids.values())
    assert [pids[i] for i in ar.engine_id] == values, "values and engine ids do not agree"


@pytest.mark.pairings(A, C, why="the reference loses all but the last status (protocol.md 6.5)")
@pytest.mark.parametrize("bad_engine", range(SHARED_ENGINES))
def test_coalescing_broadcast_reports_the_failing_engine(rc: ipp.Client, bad_engine: int) -> None:
    rc[:].scatter("rank", rc.ids, flatten=True, block=True)
    task = interactive(lambda bad: 1 // 0 if rank == bad else rank)  # noqa: F821
    ar = rc.broadcast_view(is_coalescing=True).apply_async(task, bad_engine)
    with pytest.raises((RemoteError, CompositeError), match="ZeroDivisionError"):
        ar.get(timeout=T)


@pytest.mark.pairings(A, C, why="the reference orders by tree path (protocol.md 6)")
def test_coalescing_broadcast_keeps_target_order(rc: ipp.Client) -> None:
    pids = [rc[i].apply_sync(os.getpid) for i in rc.ids]
    ar = rc.broadcast_view(is_coalescing=True).apply_async(os.getpid)
    assert ar.get(timeout=T) == pids
