"""Unmodified client: broadcast views of every depth, their outputs and their records."""

from __future__ import annotations

import os
import signal

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError

from .conftest import SHARED_ENGINES, StackFactory
from .pairings import A, C
from .polling import wait_until
from .stack import Stack

pytestmark = pytest.mark.pairings(A, C, why="what the reference's broadcast does not do")
T = 15


@interactive
def speak(word: str) -> str:
    """A task with output."""
    import os

    print(word, os.getpid())
    return word


@interactive
def fail_at(victim: int) -> int:
    """Fails on the engine with this pid."""
    import os

    if os.getpid() == victim:
        raise ValueError("only here")
    return os.getpid()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_any_depth_gives_the_same_answers(make_stack: StackFactory, depth: int) -> None:
    stack = make_stack()
    stack.start_controller(f"--IPController.broadcast_scheduler_depth={depth}")
    rc = stack.start_engines(3)
    pids = rc[:].apply_sync(os.getpid)
    for coalescing in (False, True):
        view = rc.broadcast_view(is_coalescing=coalescing)
        assert view.apply_async(os.getpid).get(timeout=T) == pids
        backwards = rc.broadcast_view([2, 0], is_coalescing=coalescing)
        assert backwards.apply_async(os.getpid).get(timeout=T) == [pids[2], pids[0]]


@pytest.mark.parametrize("depth", ["-1", "11", "deep"])
def test_a_depth_out_of_range_is_refused(make_stack: StackFactory, depth: str) -> None:
    proc = make_stack().start_controller(f"--broadcast-depth={depth}", wait=False)
    assert proc.wait(T) == 2
    assert "--broadcast-depth" in proc.text()


def test_outputs_of_a_coalescing_call_end(rc: ipp.Client) -> None:
    view = rc.broadcast_view(is_coalescing=True)
    for word in ("one", "two"):
        ar = view.apply_async(speak, word)
        assert ar.get(timeout=T) == [word] * SHARED_ENGINES
        assert ar.wait_for_output(timeout=T), "the outputs never end"
    plain = rc.broadcast_view().apply_async(speak, "three")
    assert plain.wait_for_output(timeout=T)
    assert all(text.startswith("three") for text in plain.stdout)


def test_outputs_of_a_failed_coalescing_call_end(rc: ipp.Client) -> None:
    pids = rc[:].apply_sync(os.getpid)
    ar = rc.broadcast_view(is_coalescing=True).apply_async(fail_at, pids[1])
    with pytest.raises(RemoteError, match="only here") as caught:
        ar.get(timeout=T)
    assert caught.value.engine_info["engine_id"] == 1
    assert ar.wait_for_output(timeout=T)


def test_the_others_results_are_kept_when_one_engine_fails(rc: ipp.Client) -> None:
    pids = rc[:].apply_sync(os.getpid)
    ar = rc.broadcast_view().apply_async(fail_at, pids[1])
    got = ar.get(timeout=T, return_exceptions=True)
    assert [got[0], got[2]] == [pids[0], pids[2]]
    assert "only here" in str(got[1])


def test_broadcast_calls_have_records(stack: Stack, rc: ipp.Client) -> None:
    plain = rc.broadcast_view().apply_async(speak, "plain")
    plain.get(timeout=T)
    assert plain.wait_for_output(timeout=T)
    assert len(plain.msg_ids) == SHARED_ENGINES

    def complete(ar: ipp.AsyncResult) -> list[dict]:
        records = rc.db_query({"msg_id": {"$in": ar.msg_ids}})
        return records if all(r["completed"] and r["stdout"] for r in records) else []

    records = wait_until(lambda: complete(plain), "records of a plain call")
    assert {r["queue"] for r in records} == {"broadcast"}
    assert {r["msg_id"]: r["engine_uuid"] for r in records} == {
        i: uuid for i, uuid in zip(plain.msg_ids, plain.engine_uuid, strict=True)
    }
    coalescing = rc.broadcast_view(is_coalescing=True).apply_async(speak, "together")
    coalescing.get(timeout=T)

    def all_spoke() -> bool:
        return [r["stdout"].count("together") for r in complete(coalescing)] == [SHARED_ENGINES]

    wait_until(all_spoke, "the record of a coalescing call has what all engines printed")
    assert rc.result_status(plain.msg_ids)["pending"] == []
    other = stack.client()
    again = other.get_result(plain.msg_ids)
    assert again.get(timeout=T) == ["plain"] * SHARED_ENGINES


def test_a_dead_engine_ends_a_coalescing_call(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2)
    pids = rc[:].apply_sync(os.getpid)

    @interactive
    def wait_or_return(victim: int) -> int:
        import os
        import time

        if os.getpid() == victim:
            time.sleep(60)
        return os.getpid()

    view = rc.broadcast_view(is_coalescing=True)
    ar = view.apply_async(wait_or_return, pids[0])
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(RemoteError, match="EngineError"):
        ar.get(timeout=T)
    assert rc.broadcast_view(is_coalescing=True).apply_async(os.getpid).get(timeout=T) == [pids[1]]
