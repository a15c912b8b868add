"""Unmodified client: task records in each of the databases."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError

from .conftest import StackFactory
from .pairings import A
from .polling import wait_until
from .stack import Stack

pytestmark = pytest.mark.pairings(A)
T = 20.0
KEEPING = ["--dictdb", "--sqlitedb"]


def database(stack: Stack) -> Path:
    """The SQLite file of the stack."""
    return stack.profile_dir / "tasks.db"


@interactive
def double(x: int) -> int:
    """A task with output."""
    print(f"doubling {x}")
    return 2 * x


@interactive
def fail() -> None:
    """A task that fails."""
    raise ValueError("wanted")


def recorded(rc: ipp.Client, msg_ids: list[str]) -> dict[str, dict]:
    """The finished records of these tasks, when all are there."""

    def found() -> dict[str, dict] | None:
        records = rc.db_query({"msg_id": {"$in": msg_ids}, "completed": {"$ne": None}})
        return {r["msg_id"]: r for r in records} if len(records) == len(msg_ids) else None

    return wait_until(found, "all records")


@contextlib.contextmanager
def mongo_server(kind: str) -> Iterator[str]:
    """The URI of a MongoDB-protocol server, which ends with the block."""
    root = Path(__file__).parents[2]
    built = root / "build" / f"{kind}-test-server"
    script = root / "tests" / "services" / kind / "server.sh"
    built.parent.mkdir(exist_ok=True)
    subprocess.run(["flock", f"{built}.lock", script, "build", built], check=True, timeout=600)
    with subprocess.Popen(
        [script, "run", built], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        assert server.stdin
        yield server.stdout.readline().strip()
        server.stdin.close()
        server.wait(10)


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """The first kind of MongoDB-protocol server."""
    if not shutil.which("mvn") or not shutil.which("javac"):
        pytest.skip("apt-get install maven default-jdk-headless")
    with mongo_server("mongo") as uri:
        yield uri


@pytest.fixture(scope="session")
def ferretdb_uri() -> Iterator[str]:
    """The second kind, whose build takes more than a minute."""
    if os.environ.get("IPF_FULL", "") in {"", "0"}:
        pytest.skip("FerretDB is built by scripts/test --full only")
    if not shutil.which("go"):
        pytest.skip("Go 1.22 or newer is needed (https://go.dev/dl)")
    with mongo_server("ferretdb") as uri:
        yield uri


@pytest.mark.parametrize(
    ("flag", "server"),
    [*((flag, "") for flag in KEEPING), ("--mongodb", "mongo_uri"), ("--mongodb", "ferretdb_uri")],
)
def test_records_of_every_path(
    make_stack: StackFactory, flag: str, server: str, request: pytest.FixtureRequest
) -> None:
    stack = make_stack()
    uri = request.getfixturevalue(server) if server else "mongodb://unused/"
    rc = stack.start(2, flag, f"--MongoDB.uri={uri}")
    assert f"using db backend: {flag[2:]}" in stack.controller.log.read_text().lower()
    view = rc.load_balanced_view()
    with view.temp_flags(label="balanced"):
        balanced = [view.apply_async(double, i) for i in range(3)]
    direct = rc[1].apply_async(double, 10)
    failed = rc[0].apply_async(fail)
    assert [ar.get(timeout=T) for ar in balanced] == [0, 2, 4]
    assert direct.get(timeout=T) == 20
    with pytest.raises(RemoteError):
        failed.get(timeout=T)
    ids = [m for ar in [*balanced, direct, failed] for m in ar.msg_ids]
    records = recorded(rc, ids)

    assert records[ids[0]]["queue"] == "task"
    assert records[ids[0]]["label"] == "balanced"
    assert records[ids[3]]["queue"] == "mux"
    assert records[ids[4]]["result_content"]["ename"] == "ValueError"
    first = records[ids[0]]
    assert first["submitted"] <= first["started"] <= first["completed"] <= first["received"]
    assert sorted(rc.hub_history()) == sorted(ids)

    def labels() -> list[str]:
        return [r["msg_id"] for r in rc.db_query({"label": {"$glob": "bal*"}}, keys=["msg_id"])]

    assert labels() == ids[:3]
    engine = records[ids[3]]["engine_uuid"]
    on_engine = rc.db_query({"engine_uuid": engine, "queue": "mux"}, keys=["msg_id"])
    assert [r["msg_id"] for r in on_engine] == [ids[3]]
    wait_until(
        lambda: rc.db_query({"msg_id": ids[0]})[0]["stdout"] == "doubling 0\n", "recorded output"
    )
    whole = rc.db_query({"msg_id": ids[0]}, keys=["buffers", "result_buffers"])[0]
    assert len(whole["buffers"]) > 0
    assert len(whole["result_buffers"]) > 0
    with pytest.raises(RemoteError, match="KeyError"):
        rc.db_query({"no such column": 1})
    with pytest.raises(RemoteError, match="divide by 0"):
        rc.db_query({"msg_id": {"$mod": [0, 0]}})
    wait_until(lambda: rc.queue_status(0)["queue"] == 0, "empty queue")

    other = stack.client()
    assert other.get_result(ids[:3]).get(timeout=T) == [0, 2, 4]
    with pytest.raises(RemoteError, match="wanted"):
        other.get_result(ids[4]).get(timeout=T)

    again = rc.resubmit([ids[0]])
    assert again.get(timeout=T) == [0]
    record = recorded(rc, [ids[0], *again.msg_ids])
    assert record[ids[0]]["resubmitted"] == again.msg_ids[0]
    assert record[again.msg_ids[0]]["label"] == "balanced"

    rc.purge_hub_results(ids[:2])
    assert set(rc.hub_history()) == {*ids[2:], *again.msg_ids}
    rc.purge_hub_results(targets=[1])
    assert ids[3] not in rc.hub_history()
    rc.purge_hub_results("all")
    assert rc.hub_history() == []
    assert rc.db_query({}) == []


def test_without_records(make_stack: StackFactory) -> None:
    rc = make_stack().start(1, "--nodb")
    ar = rc[0].apply_async(double, 4)
    assert ar.get(timeout=T) == 8
    for ask in (rc.hub_history, lambda: rc.db_query({}), lambda: rc.resubmit(ar.msg_ids)):
        with pytest.raises(RemoteError, match="NoDB backend doesn't store any data"):
            ask()
    rc.purge_hub_results("all")


def test_results_that_were_delivered_need_not_be_kept(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, "--keep-results=none")
    ar = rc[0].apply_async(double, 4)
    assert ar.get(timeout=T) == 8
    recorded(rc, ar.msg_ids)
    with pytest.raises(RemoteError, match="keep_results"):
        stack.client().get_result(ar.msg_ids[0]).get(timeout=T)
    assert rc.resubmit(ar.msg_ids).get(timeout=T) == [8]


def test_an_answer_has_a_limit(make_stack: StackFactory) -> None:
    rc = make_stack().start(1, "--IPController.db_query_limit=2")
    ids = [rc[0].apply_async(double, i).msg_ids[0] for i in range(3)]
    wait_until(lambda: len(rc.hub_history()) == 3, "three records")
    with pytest.raises(RemoteError, match="narrow the query"):
        rc.db_query({})
    assert len(rc.db_query({"msg_id": {"$in": ids[:2]}})) == 2


def test_a_restart_keeps_the_history(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, "--sqlitedb")
    ids = [rc[0].apply_async(double, i).msg_ids[0] for i in range(5)]
    recorded(rc, ids)
    stack.close_clients()
    for proc in reversed(stack.procs):
        proc.popen.terminate()
        proc.wait(10)

    stack.start_controller("--db", "SQLiteDB")
    rc = stack.client()
    assert sorted(rc.hub_history()) == sorted(ids)
    assert rc.get_result(ids[2]).get(timeout=T) == 4
    assert rc.result_status(ids)["completed"] == ids


def test_the_file_is_private_and_readable_by_ipyparallels_rules(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, "--sqlitedb", "--SQLiteDB.table=mine")
    ar = rc[0].apply_async(double, 21)
    assert ar.get(timeout=T) == 42
    recorded(rc, ar.msg_ids)
    for path in stack.profile_dir.glob("tasks.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(database(stack)) as connection:
        row = connection.execute(
            "SELECT header, buffers, result_buffers, submitted, queue FROM mine"
        ).fetchone()
    header, buffers, result_buffers, submitted, queue = row
    assert ar.msg_ids[0] in header
    assert queue == "mux"
    assert submitted.endswith("+00:00")
    assert all(isinstance(b, bytes) for b in pickle.loads(buffers))
    result, _ = ipp.serialize.deserialize_object(pickle.loads(result_buffers))
    assert result == 42


def test_tasks_go_on_while_another_process_holds_the_file(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, "--sqlitedb")
    ids = [rc[0].apply_async(double, 1).msg_ids[0]]
    recorded(rc, ids)
    blocker = sqlite3.connect(database(stack), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    late = rc[0].apply_async(double, 2)
    assert late.get(timeout=T) == 4
    log = stack.controller.log
    wait_until(lambda: "another process holds it" in log.read_text(), "the alarm")
    assert set(rc.hub_history()) == {*ids, *late.msg_ids}, "it is known from memory"
    assert stack.client().get_result(late.msg_ids[0]).get(timeout=T) == 4
    blocker.execute("ROLLBACK")
    blocker.close()
    wait_until(lambda: "writes again" in log.read_text(), "the end of the alarm")
    assert log.read_text().count("another process holds it") == 1
    assert set(rc.hub_history()) == {*ids, *late.msg_ids}


def test_a_deleted_file_is_begun_anew(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, "--sqlitedb")
    first = rc[0].apply_async(double, 1)
    recorded(rc, first.msg_ids)
    database(stack).unlink()
    second = rc[0].apply_async(double, 2)
    assert second.get(timeout=T) == 4
    recorded(rc, second.msg_ids)
    assert rc.hub_history() == second.msg_ids
    assert database(stack).exists()
    assert "was deleted or replaced" in stack.controller.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--sqlitedb"], 1, ["tasks.db", "move the file away"]),
        (["--sqlitedb", "--SQLiteDB.location=/nowhere"], 1, ["/nowhere/tasks.db"]),
        (["--mongodb", "--MongoDB.uri=mongodb://u:secret@127.0.0.1:1/"], 1, ["127.0.0.1:1"]),
        (["--db=oracle"], 2, ["oracle", "sqlitedb"]),
        (["--nodb", "--sqlitedb"], 2, ["more than one database"]),
        (["--DictDB.cull_fraction=2"], 2, ["cull_fraction"]),
    ],
)
def test_a_database_that_cannot_be_used_is_named(
    make_stack: StackFactory, arguments: list[str], status: int, words: list[str]
) -> None:
    stack = make_stack()
    database(stack).write_text("this is no database " * 500)
    os.chmod(database(stack), 0o600)
    proc = stack.start_controller(*arguments, wait=False)
    assert proc.wait(15) == status
    text = proc.log.read_text()
    assert all(word in text for word in words), text
    assert "secret" not in text
    assert not stack.connection_file("client").exists()
