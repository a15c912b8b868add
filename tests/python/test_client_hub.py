"""What a client asks the hub and tells engines: results of others, records, purging, signals."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, PEER_PYTHON, Cluster, nap, wait_until

T = 20


@ipp.interactive
def fail() -> None:
    """Raise an error."""
    raise ValueError("no")


@pytest.fixture
def other(cluster: Cluster) -> Iterator[ipp.Client]:
    """Another client of the same cluster."""
    with ipp.Client(cluster.file, timeout=20) as client:
        client.wait_for_engines(ENGINES, timeout=T)
        yield client


# ---- results of others --------------------------------------------------------------------------


def test_results_of_another_client(rc: ipp.Client, other: ipp.Client) -> None:
    view = rc.load_balanced_view(label="mine")
    done = view.apply_async(pow, 2, 5)
    done.wait(T)
    found = other.get_result(done.msg_ids[0])
    assert isinstance(found, ipp.AsyncHubResult)
    assert found.get(T) == 32
    assert found.engine_id == done.engine_id
    assert found.label == "mine"
    assert found.started == done.started
    assert found.successful()
    running = view.apply_async(nap, 0.5, "slept")
    wait_until(lambda: running.msg_ids[0] in other.hub_history(), "it has arrived", T)
    later = other.get_result(running.msg_ids)
    assert not later.ready()
    assert not later.wait(0.01)
    assert later.progress == 0
    assert later.get(T) == ["slept"]
    assert list(later) == ["slept"]
    direct = rc[:].apply_async(nap, 0, "all")
    direct.wait(T)
    wait_until(lambda: other.get_result(direct.msg_ids).ready(), "the hub has them", T)
    assert other.get_result(direct.msg_ids).get_dict() == dict.fromkeys(rc.ids, "all")


def test_errors_and_output_of_another_client(rc: ipp.Client, other: ipp.Client) -> None:
    failed = rc.load_balanced_view().apply_async(fail)
    failed.wait(T)
    found = other.get_result(failed.msg_ids[0])
    with pytest.raises(ipp.RemoteError, match="no"):
        found.get(T)
    assert not found.successful()
    executed = rc[0].execute("print('hello'); 40 + 2", silent=False)
    executed.wait_for_output(T)

    def has_output() -> bool:
        result = other.get_result(executed.msg_ids[0])
        return bool(result.wait(T) and result.stdout)

    wait_until(has_output, "the hub has the output", T)
    again = other.get_result(executed.msg_ids[0])
    reply = again.get(T)
    assert again.stdout == "hello\n"
    assert reply.execution_count == executed.get().execution_count
    with pytest.raises(ipp.RemoteError, match="nobody"):
        other.get_result("nobody").get(T)


def test_hub_results_are_futures(rc: ipp.Client, other: ipp.Client) -> None:
    import asyncio

    slow = rc.load_balanced_view().apply_async(nap, 0.2, 7)
    called: list[Any] = []
    found = other.get_result(slow.msg_ids[0])
    found.add_done_callback(lambda each: called.append(each.get()))
    wait_until(lambda: called, "the callback", T)
    assert called == [7]

    async def main() -> Any:
        return await other.get_result(slow.msg_ids[0])

    assert asyncio.run(main()) == 7


def test_own_results_and_metadata(rc: ipp.Client) -> None:
    good = rc[0].apply_async(pow, 2, 2)
    bad = rc[0].apply_async(fail)
    rc.wait(timeout=T)
    assert rc.results[good.msg_ids[0]] == 4
    assert isinstance(rc.results[bad.msg_ids[0]], ipp.RemoteError)
    assert rc.metadata[good.msg_ids[0]].engine_id == 0
    assert good.msg_ids[0] in rc.results
    assert set(good.msg_ids) <= set(rc.results)
    assert "nobody" not in rc.results
    assert rc.results.get("nobody") is None
    with pytest.raises(TypeError, match="cannot be set"):
        rc.results["x"] = 1
    assert f"{len(rc.history)} calls" in repr(rc.metadata)


# ---- records ------------------------------------------------------------------------------------


def test_records(rc: ipp.Client) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=5)
    result = rc.load_balanced_view(label="wanted").apply_async(pow, 3, 3)
    result.wait(T)
    msg_id = result.msg_ids[0]
    wait_until(lambda: rc.db_query({"msg_id": msg_id})[0]["completed"], "a whole record", T)
    (record,) = rc.db_query({"msg_id": msg_id})
    assert record["submitted"] > before
    assert isinstance(record["header"]["date"], datetime)
    assert record["completed"] - record["started"] < timedelta(seconds=T)
    assert rc.db_query({"msg_id": {"$in": {msg_id}}}, keys="engine_uuid") == [
        {"msg_id": msg_id, "engine_uuid": rc.engines[result.engine_id]}
    ]
    if not PEER_PYTHON:  # DictDB of ipyparallel fails where a record has no date
        found = rc.db_query({"submitted": {"$gte": before}}, keys=["submitted"])
        assert msg_id in [each["msg_id"] for each in found]
    (with_buffers,) = rc.db_query({"msg_id": msg_id}, keys=["buffers", "result_buffers"])
    assert len(with_buffers["result_buffers"]) == 1
    assert len(with_buffers["buffers"]) >= 3
    assert rc.hub_history()[-1] == msg_id
    with pytest.raises(TypeError, match="a query cannot hold"):
        rc.db_query({"msg_id": object()})


def test_result_status(rc: ipp.Client) -> None:
    done, running = rc[0].apply_async(pow, 2, 2), rc[0].apply_async(nap, 0.4)
    done.wait(T)
    status = rc.result_status([done, running])
    assert status["completed"] == done.msg_ids
    assert status["pending"] == running.msg_ids
    assert rc.result_status(done, status_only=False)[done.msg_ids[0]] == 4
    assert running.wait(T)


def wait_for_records(client: ipp.Client) -> None:
    """Wait until the hub has the results that the client has."""

    def complete() -> bool:
        query = {"msg_id": {"$in": client.history}}
        return all(each["completed"] for each in client.db_query(query, keys="completed"))

    client.wait(timeout=T)
    wait_until(complete, "the hub has all results", T)


def test_purging(own_cluster: Cluster) -> None:
    with ipp.Client(own_cluster.file, timeout=20) as rc:
        rc.wait_for_engines(ENGINES, timeout=40)
        view = rc.load_balanced_view()
        results = [view.apply_async(pow, 2, each) for each in range(4)]
        wait_for_records(rc)
        first = results[0]
        rc.purge_results(first)
        assert first.msg_ids[0] not in rc.results
        assert first.get() == 1
        assert rc.db_query({"msg_id": first.msg_ids[0]}) == []
        rc.purge_local_results(results[1])
        assert rc.get_result(results[1].msg_ids[0]).get(T) == 2
        view.apply_async(nap, 0.3)
        with pytest.raises(RuntimeError, match="without a result"):
            rc.purge_results("all")
        wait_for_records(rc)
        rc.purge_results(targets=0)
        rc.purge_everything()
        assert rc.hub_history() == []
        assert rc.history == []
        with pytest.raises(ValueError, match="nothing to purge"):
            rc.purge_results()
        with pytest.raises(ValueError, match="nothing to purge"):
            view.purge_results()


def test_resubmitting(rc: ipp.Client) -> None:
    rc[:].execute("calls = 0\ndef work():\n global calls; calls += 1; return 7", block=True)
    view = rc.load_balanced_view([0])
    result = view.apply_async(ipp.Reference("work"))
    result.wait(T)
    again = rc.resubmit(result.msg_ids[0])
    assert isinstance(again, ipp.AsyncHubResult)
    assert again.get(T) == 7
    assert again.msg_ids != result.msg_ids
    if not PEER_PYTHON:  # the hub of ipyparallel may hand out the old result, and not run it
        assert rc[0].pull("calls", block=True) == 2
        assert rc.resubmit(result.msg_ids, block=True).get(T) == [7]
        assert rc[0].pull("calls", block=True) == 3


# ---- engines ------------------------------------------------------------------------------------


def test_signals(rc: ipp.Client) -> None:
    running = rc[0].apply_async(nap, 60)
    other = rc[1].apply_async(nap, 0.2, "untouched")
    time.sleep(0.3)
    rc.send_signal("SIGINT", targets=0, block=True)
    with pytest.raises(ipp.RemoteError, match="KeyboardInterrupt"):
        running.get(T)
    assert other.get(T) == "untouched"
    result = rc.send_signal(0, block=False)
    assert result is not None
    result.get(T)
    if not PEER_PYTHON:
        with pytest.raises(ipp.RemoteError, match="no signal"):
            rc.send_signal("SIGNOTHING", block=True)


def test_aborting_through_views(rc: ipp.Client) -> None:
    view = rc[0]
    running = view.apply_async(nap, 0.3)
    queued = [view.apply_async(nap, 0.1) for _ in range(3)]
    view.abort(queued, block=True)
    for result in queued:
        with pytest.raises(ipp.TaskAborted):
            result.get(T)
    running.get(T)
    assert view.apply_sync(pow, 2, 2) == 4


def test_waiting_for_engines(rc: ipp.Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert rc.wait_for_engines(ENGINES) is None
    future = rc.wait_for_engines(1, block=False)
    assert future is not None
    assert future.result(T) is None
    late = rc.wait_for_engines(ENGINES + 1, timeout=0.1, block=False)
    assert late is not None
    with pytest.raises(ipp.TimeoutError, match=f"Currently ready: {ENGINES}"):
        late.result(T)
    with pytest.raises(ipp.TimeoutError):
        rc.wait_for_engines(ENGINES + 1, timeout=0.1, interactive=True)
    assert f"{ENGINES}/{ENGINES + 1}" in capsys.readouterr().out
    with pytest.raises(TypeError, match="how many"):
        rc.wait_for_engines()
    rc.cluster = type("Cluster", (), {"n": ENGINES})()
    assert rc.wait_for_engines() is None


def test_properties(rc: ipp.Client) -> None:
    assert list(rc.engines) == rc.ids
    assert rc.profile == "default"
    assert not rc.debug
    assert rc.cluster is None
    assert rc.session.session in rc[0].apply_async(os.getpid).msg_ids[0]
    for name in ("spin", "spin_thread", "stop_spin_thread"):
        with pytest.warns(DeprecationWarning, match="does nothing"):
            getattr(rc, name)()


def test_arguments_that_are_wrong(cluster: Cluster) -> None:
    with pytest.raises(TypeError, match="no argument 'colour'"):
        ipp.Client(cluster.file, colour=1)
    with pytest.raises(ValueError, match="is a URL"):
        ipp.Client("tcp://127.0.0.1:4711")
    with ipp.Client(url_file=cluster.file, context=None, debug=True, block=True) as client:
        assert client.debug
        assert client.block
