"""Moving data, asking the hub, aborting."""

from __future__ import annotations

import time

import ipyfleet as ipp
import pytest
from conftest import ENGINES, Cluster, wait_until

T = 30.0

# Functions of this file travel by value, as if they were typed in: engines cannot import it.
__name__ = "__main__"


def test_push_and_pull(rc: ipp.Client) -> None:
    view = rc[:]
    assert view.push({"x": [1, 2], "y": b"z" * 10_000}, block=True) == [None] * ENGINES
    assert view.pull("x", block=True) == [[1, 2]] * ENGINES
    assert rc[0].pull(["x", "y"]).get(T) == [[1, 2], b"z" * 10_000]
    assert rc[0].get("len(y)") == 10_000
    view["x"] = 5
    assert view["x"] == [5] * ENGINES
    view.update({"x": 6})
    assert view["x"] == [6] * ENGINES
    with pytest.raises(ipp.RemoteError, match="no_such_name"):
        rc[0].pull("no_such_name", block=True)


def test_pushed_functions_see_the_namespace_of_the_engine(rc: ipp.Client) -> None:
    rc[:].push({"x": 3, "double": ipp.interactive(lambda: x * 2)}, block=True)  # noqa: F821
    assert rc[:].execute("print(double())", block=True).stdout == ["6\n"] * ENGINES


@pytest.mark.parametrize("dist", ["b", "r"])
@pytest.mark.parametrize("length", [0, 1, 2, 5, 16])
def test_scatter_and_gather(rc: ipp.Client, dist: str, length: int) -> None:
    view = rc[:]
    view.scatter("x", list(range(length)), dist=dist, block=True)
    sizes = [len(part) for part in view["x"]]
    assert sum(sizes) == length
    assert max(sizes) - min(sizes) <= 1
    assert view.gather("x", dist=dist, block=True) == list(range(length))
    assert view.gather("x", dist=dist).get(T) == list(range(length))


def test_scatter_flattens_single_items(rc: ipp.Client) -> None:
    view = rc[:]
    view.scatter("x", list(range(ENGINES)), flatten=True, block=True)
    assert view["x"] == list(range(ENGINES))
    assert view.gather("x", block=True) == list(range(ENGINES))
    with pytest.raises(ValueError, match="dist"):
        view.scatter("x", [1, 2], dist="z")


@pytest.mark.seeds(55)
def test_queue_status(rc: ipp.Client) -> None:
    first, second = rc.ids
    slow = rc[first].apply_async(time.sleep, 1.0)
    queued = rc[first].apply_async(time.sleep, 0)
    wait_until(lambda: rc.queue_status(first)["queue"] == 2, "two calls in the queue", T)
    status = rc.queue_status()
    assert set(status) == {first, second, "unassigned"}
    assert status[second]["queue"] == 0
    verbose = rc.queue_status([first, second], verbose=True)
    assert verbose[first]["queue"] == [*slow.msg_ids, *queued.msg_ids]
    assert rc[second].queue_status()["queue"] == 0
    queued.get(T)
    wait_until(lambda: rc.queue_status(first)["queue"] == 0, "an empty queue", T)
    with pytest.raises(IndexError):
        rc.queue_status(10_000)


@pytest.mark.seeds(55)
def test_result_status_of_own_and_of_others(cluster: Cluster, rc: ipp.Client) -> None:
    fast = rc[0].apply_async(lambda: {"a": b"x" * 5000})
    slow = rc[1].apply_async(time.sleep, 1.0)
    fast.get(T)
    status = rc.result_status([fast, slow])
    assert status == {"pending": slow.msg_ids, "completed": fast.msg_ids}
    with ipp.Client(cluster.file, timeout=20) as other:
        ids = fast.msg_ids + slow.msg_ids

        def known() -> bool:
            return other.result_status(ids)["completed"] == fast.msg_ids

        wait_until(known, "the hub has the first result", 0.9)
        slow.get(T)
        wait_until(lambda: not other.result_status(ids)["pending"], "the hub has both", T)
        results = other.result_status(ids, status_only=False)
        assert results[fast.msg_ids[0]] == {"a": b"x" * 5000}
        assert results[slow.msg_ids[0]] is None
        with pytest.raises(ipp.RemoteError, match="nobody"):
            other.result_status("nobody")


def test_result_status_raises_what_a_call_raised(cluster: Cluster, rc: ipp.Client) -> None:
    failed = rc[0].apply_async(lambda: 1 / 0)
    failed.wait(T)
    with pytest.raises(ipp.RemoteError, match="division"):
        rc.result_status(failed, status_only=False)
    executed = rc[0].execute("print('kept')", silent=False, block=True)
    with ipp.Client(cluster.file, timeout=20) as other:
        reply = None

        def stored() -> bool:
            nonlocal reply
            status = other.result_status(executed.msg_ids, status_only=False)
            reply = status.get(executed.msg_ids[0])
            return reply is not None and reply.stdout == "kept\n"

        wait_until(stored, "the hub has the result and its output", T)
        assert reply.msg_id == executed.msg_ids[0]


def test_abort_keeps_queued_calls_from_running(rc: ipp.Client) -> None:
    rc[:].push({"x": 0}, block=True)
    running = rc[:].apply_async(time.sleep, 0.7)
    queued = rc[:].execute("x = 1")
    queued.abort()
    with pytest.raises(ipp.CompositeError, match="TaskAborted"):
        queued.get(T)
    assert queued.wait_for_output(T)
    assert running.get(T) == [None] * ENGINES
    assert rc[:]["x"] == [0] * ENGINES
    with pytest.raises(RuntimeError, match="done"):
        queued.abort()


def test_abort_of_a_single_call_is_task_aborted(rc: ipp.Client) -> None:
    running = rc[0].apply_async(time.sleep, 0.5)
    queued = rc[0].apply_async(time.sleep, 0)
    answers = rc.abort(queued, targets=0)
    assert answers is not None
    assert answers.get(T) == [{"status": "ok"}]
    with pytest.raises(ipp.TaskAborted):
        queued.get(T)
    running.get(T)
