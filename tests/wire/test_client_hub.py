"""Unmodified client: what the hub knows (status, results, history, database)."""

from __future__ import annotations

import datetime
import os

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError

from .conftest import SHARED_ENGINES
from .pairings import A, C
from .polling import wait_until
from .stack import Stack

T = 20.0
OURS_ONLY = "the reference's DictDB answers wrongly (protocol.md 7.4)"


@interactive
def nap(seconds: float, value: object = None) -> object:
    """Sleep on the engine."""
    import time

    time.sleep(seconds)
    return value


def record(rc: ipp.Client, msg_id: str) -> dict:
    """The completed record of a task."""

    def finished() -> list[dict]:
        found = rc.db_query({"msg_id": msg_id})
        return [rec for rec in found if rec["completed"] is not None]

    return wait_until(finished, f"completed record of {msg_id}")[0]


def test_queue_status_while_busy_and_after(rc: ipp.Client) -> None:
    results = [rc[0].apply_async(nap, 0.5), rc[0].apply_async(nap, 0)]
    balanced = [rc.load_balanced_view(targets=[1]).apply_async(nap, 0.5) for _ in range(3)]
    wait_until(lambda: rc.queue_status(0)["queue"] == 2, "two queued direct calls on engine 0")
    wait_until(lambda: rc.queue_status()["unassigned"] >= 1, "unassigned tasks")
    verbose = rc.queue_status(0, verbose=True)
    assert verbose["queue"] == [ar.msg_ids[0] for ar in results]
    assert rc.queue_status(2)["queue"] == 0
    before = rc.queue_status(0)["completed"]
    for ar in results + balanced:
        ar.get(timeout=T)
    wait_until(lambda: rc.queue_status(0)["queue"] == 0, "empty queue of engine 0")
    assert rc.queue_status(0)["completed"] == before + 2
    assert rc.queue_status()["unassigned"] == 0
    assert set(rc.queue_status()) == {*range(SHARED_ENGINES), "unassigned"}
    assert set(rc.queue_status([0, 1])) == {0, 1, "unassigned"}


def test_result_status_pending_and_completed(stack: Stack, rc: ipp.Client) -> None:
    watcher = stack.client()
    slow = rc[0].apply_async(nap, 1.0, "done")
    fast = rc[1].apply_async(nap, 0)
    fast.get(timeout=T)
    ids = slow.msg_ids + fast.msg_ids

    def split() -> bool:
        status = watcher.result_status(list(ids))
        return status["pending"] == slow.msg_ids and status["completed"] == fast.msg_ids

    wait_until(split, "one pending and one completed", 0.9)
    slow.get(timeout=T)
    wait_until(lambda: watcher.result_status(list(ids))["pending"] == [], "nothing pending")
    full = watcher.result_status(slow.msg_ids, status_only=False)
    assert full[slow.msg_ids[0]] == "done"


def test_get_result_of_another_clients_tasks(stack: Stack, rc: ipp.Client) -> None:
    direct = rc[:].apply_async(nap, 0, b"x" * 100_000)
    balanced = rc.load_balanced_view().apply_async(nap, 0.3, {"k": [1, 2]})
    failed = rc[0].apply_async(interactive(lambda: 1 / 0))
    ids = {*direct.msg_ids, *balanced.msg_ids, *failed.msg_ids}
    wait_until(lambda: ids <= set(rc.hub_history()), "the hub knows all tasks")
    other = stack.client()
    assert other.get_result(direct.msg_ids).get(timeout=T) == [b"x" * 100_000] * SHARED_ENGINES
    assert other.get_result(balanced.msg_ids[0]).get(timeout=T) == {"k": [1, 2]}
    with pytest.raises(RemoteError, match="ZeroDivisionError"):
        other.get_result(failed.msg_ids[0]).get(timeout=T)


def test_get_result_has_outputs_of_another_client(stack: Stack, rc: ipp.Client) -> None:
    ar = rc[0].execute("print('from the first client'); 99", silent=False)
    ar.get(timeout=T)
    msg_id = ar.msg_ids[0]
    wait_until(lambda: record(rc, msg_id)["execute_result"], "execute_result in the record")
    again = stack.client().get_result(msg_id)
    reply = again.get(timeout=T)
    assert reply.execution_count == ar.get().execution_count
    assert again.stdout == "from the first client\n"


def test_get_result_of_an_unknown_id_is_a_key_error(rc: ipp.Client) -> None:
    with pytest.raises(RemoteError, match="KeyError"):
        rc.get_result("no-such-message", block=False).get(timeout=T)
    with pytest.raises(IndexError):
        rc.queue_status(99)


def test_history_is_in_the_order_of_submission(stack: Stack, rc: ipp.Client) -> None:
    ids = []
    for i in range(5):
        ar = rc[i % SHARED_ENGINES].apply_async(nap, 0)
        ar.get(timeout=T)
        ids += ar.msg_ids
    wait_until(lambda: rc.hub_history()[-5:] == ids, "hub history ends with these five")
    assert stack.client().hub_history()[-5:] == ids


def test_record_has_all_columns(rc: ipp.Client) -> None:
    ar = rc[0].apply_async(nap, 0, 5)
    ar.get(timeout=T)
    rec = record(rc, ar.msg_ids[0])
    times = [rec[key] for key in ("submitted", "started", "completed", "received")]
    assert all(isinstance(when, datetime.datetime) for when in times)
    assert times == sorted(times)
    assert rec["queue"] == "mux"
    assert rec["client_uuid"] == rc.session.session
    assert rec["engine_uuid"] == rc._engines[0]
    assert rec["header"]["msg_type"] == "apply_request"
    assert rec["result_header"]["msg_type"] == "apply_reply"
    assert rec["result_content"]["status"] == "ok"
    wanted = {"metadata", "content", "resubmitted", "result_metadata", "execute_input"}
    wanted |= {"execute_result", "error", "stdout", "stderr", "label"}
    assert wanted <= set(rec)
    assert not {"buffers", "result_buffers"} & set(rec)


def test_db_query_operators(rc: ipp.Client) -> None:
    results = [rc.load_balanced_view().apply_async(nap, 0, i) for i in range(4)]
    for ar in results:
        ar.get(timeout=T)
    ids = [ar.msg_ids[0] for ar in results]
    for msg_id in ids:
        record(rc, msg_id)

    def found(query: dict) -> set[str]:
        return {rec["msg_id"] for rec in rc.db_query(query, keys=["msg_id"])} & set(ids)

    assert found({}) == set(ids)
    assert found({"msg_id": {"$in": ids[:2]}}) == set(ids[:2])
    assert found({"msg_id": {"$nin": ids[:2]}}) == set(ids[2:])
    assert found({"msg_id": {"$ne": ids[0]}}) == set(ids[1:])
    assert found({"msg_id": {"$glob": rc.session.session + "*"}}) == set(ids)
    assert found({"queue": "task"}) == set(ids)
    assert found({"queue": "mux"}) == set()
    middle = record(rc, ids[2])["submitted"]
    these = {"msg_id": {"$in": ids}}
    assert found({**these, "submitted": {"$lt": middle}}) == set(ids[:2])
    assert found({**these, "submitted": {"$gte": middle}}) == set(ids[2:])


@pytest.mark.pairings(A, C, why=OURS_ONLY)
def test_db_query_where_the_reference_is_wrong(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    first, second = (view.apply_async(nap, 0) for _ in range(2))
    first.get(timeout=T)
    second.get(timeout=T)
    ids = first.msg_ids + second.msg_ids
    middle = record(rc, ids[0])["submitted"]
    record(rc, ids[1])
    rc.broadcast_view().execute("print('makes a partial record')").get(timeout=T)
    later = rc.db_query({"submitted": {"$gt": middle}}, keys=["msg_id"])
    assert ids[1] in {rec["msg_id"] for rec in later}
    assert ids[0] not in {rec["msg_id"] for rec in later}
    both = rc.db_query({"queue": "task", "msg_id": ids[0]}, keys=["msg_id"])
    assert [rec["msg_id"] for rec in both] == [ids[0]]


def test_db_query_returns_buffers_when_asked(rc: ipp.Client) -> None:
    payload = b"p" * 5000
    results = [rc[i].apply_async(nap, 0, payload) for i in rc.ids]
    ids = [ar.msg_ids[0] for ar in results]
    for ar, msg_id in zip(results, ids, strict=True):
        ar.get(timeout=T)
        record(rc, msg_id)
    records = rc.db_query({"msg_id": {"$in": ids}}, keys=["buffers", "result_buffers"])
    assert {rec["msg_id"] for rec in records} == set(ids)
    for rec in records:
        assert payload in [bytes(b) for b in rec["buffers"]]
        assert payload in [bytes(b) for b in rec["result_buffers"]]


def test_bad_db_query_is_an_error_not_silence(rc: ipp.Client) -> None:
    rc[0].apply_sync(os.getpid)
    with pytest.raises(RemoteError):
        rc.db_query({"msg_id": {"$bogus": 1}})


def test_label_is_stored(rc: ipp.Client) -> None:
    view = rc[0]
    with view.temp_flags(label="my label"):
        ar = view.apply_async(nap, 0)
    ar.get(timeout=T)
    assert record(rc, ar.msg_ids[0])["label"] == "my label"
    found = rc.db_query({"label": "my label"}, keys=["msg_id"])
    assert ar.msg_ids[0] in {rec["msg_id"] for rec in found}


def test_purge_results_by_id_and_all(stack: Stack, rc: ipp.Client) -> None:
    results = [rc[i].apply_async(nap, 0) for i in (0, 1, 2)]
    ids = [ar.msg_ids[0] for ar in results]
    for ar, msg_id in zip(results, ids, strict=True):
        ar.get(timeout=T)
        record(rc, msg_id)
    rc.purge_results(ids[0])
    assert not set(rc.hub_history()) & {ids[0]}
    assert set(ids[1:]) <= set(rc.hub_history())
    with pytest.raises(RemoteError, match="KeyError"):
        stack.client().get_result(ids[0], block=False).get(timeout=T)
    rc.purge_results("all")
    assert rc.hub_history() == []


@pytest.mark.pairings(A, C, why="the reference's query with two keys finds nothing")
def test_purge_results_of_an_engine(rc: ipp.Client) -> None:
    results = [rc[i].apply_async(nap, 0) for i in (0, 1)]
    for ar in results:
        ar.get(timeout=T)
        record(rc, ar.msg_ids[0])
    rc.purge_hub_results(targets=[1])
    left = set(rc.hub_history())
    assert results[0].msg_ids[0] in left
    assert results[1].msg_ids[0] not in left


def test_purge_of_an_unknown_engine_is_an_index_error(rc: ipp.Client) -> None:
    content = {"engine_ids": [55], "msg_ids": []}
    reply = rc._send_recv(rc._query_stream, "purge_request", content=content)["content"]
    assert (reply["status"], reply["ename"]) == ("error", "IndexError")


def test_purge_of_a_pending_task_is_refused(stack: Stack, rc: ipp.Client) -> None:
    ar = rc[0].apply_async(nap, 1.0)
    wait_until(lambda: rc.queue_status(0)["queue"] == 1, "the task is known to the hub")
    with pytest.raises(RemoteError, match="IndexError"):
        stack.client().purge_hub_results(ar.msg_ids)
    ar.get(timeout=T)
    record(rc, ar.msg_ids[0])


def test_resubmit_runs_the_task_again(rc: ipp.Client) -> None:
    rc[:].push({"runs": 0}, block=True)

    @interactive
    def count(step: int) -> int:
        global runs
        runs += step
        return runs

    view = rc.load_balanced_view(targets=[0])
    ar = view.apply_async(count, 7)
    assert ar.get(timeout=T) == 7
    record(rc, ar.msg_ids[0])
    again = rc.resubmit(ar.msg_ids)
    again.get(timeout=T)
    assert sum(rc[:]["runs"]) == 14
    assert record(rc, ar.msg_ids[0])["resubmitted"] == again.msg_ids[0]
    with pytest.raises(RemoteError, match="KeyError"):
        rc.resubmit("no-such-message")


def test_hub_knows_tasks_of_execute(rc: ipp.Client) -> None:
    ar = rc[1].execute("print('x'); oops", silent=False)
    with pytest.raises(RemoteError, match="NameError"):
        ar.get(timeout=T)
    msg_id = ar.msg_ids[0]
    wait_until(lambda: record(rc, msg_id)["stdout"] == "x\n", "stdout in the record")
    rec = record(rc, msg_id)
    assert rec["execute_input"] == "print('x'); oops"
    assert rec["error"]["ename"] == "NameError"
    assert rec["result_content"]["status"] == "error"
