"""Hostile questions to the hub: an answer or an error, in bounded time (users.md 5c, case 29)."""

from __future__ import annotations

import os
import time

import pytest

from .conftest import StackFactory
from .hostile import peer_still_served
from .pairings import C
from .raw import RawPeer

pytestmark = pytest.mark.pairings(C, why="the reference fails on some of these")

DEEP: dict = {"msg_id": "x"}
for _ in range(200):
    DEEP = {"$and": [DEEP]}

QUERIES: dict[str, object] = {
    "sql in a value": {"msg_id": 'x\'; DROP TABLE "ipython-tasks"; --'},
    "sql in a column": {"msg_id; DROP TABLE x": "a"},
    "sql in an operator": {"msg_id": {"$eq) OR 1=1 --": "a"}},
    "unknown operator": {"msg_id": {"$where": "while(true){}"}},
    "modulo zero": {"submitted": {"$mod": [0, 0]}},
    "modulo of text": {"msg_id": {"$mod": ["a", "b"]}},
    "a bomb of a pattern": {"msg_id": {"$glob": "*a" * 200 + "b"}},
    "an open bracket": {"msg_id": {"$glob": "[" * 1000}},
    "in no list": {"msg_id": {"$in": 5}},
    "a null in a list": {"msg_id": {"$in": [None]}},
    "an empty list": {"msg_id": {"$in": []}},
    "deep": DEEP,
    "wide": {"msg_id": {"$in": [f"m{i}" for i in range(50_000)]}},
    "a number as query": 5,
    "a list as query": [1, 2],
    "objects to compare": {"header": {"$lt": {"a": 1}}},
    "control characters": {"label": "\x00\x1b[2J"},
    "a date far away": {"completed": {"$gt": "9999-12-31T23:59:59.999999Z"}},
    "no date": {"completed": {"$gt": "soon"}},
}


@pytest.mark.parametrize("store", ["--dictdb", "--sqlitedb"])
def test_hostile_queries_get_an_answer(make_stack: StackFactory, store: str) -> None:
    stack = make_stack()
    stack.start_controller(store)
    rc = stack.start_engines(1)
    rc[0].apply_sync(os.getpid)
    known = len(rc.hub_history())
    with RawPeer(stack.connection("client")) as peer:
        for name, query in QUERIES.items():
            for keys in (None, ["msg_id"], ["no such column"], "msg_id", 5):
                begin = time.monotonic()
                frames = peer.message("db_request", {"query": query, "keys": keys})
                content = peer.ask("registration", frames, timeout=10)["content"]
                assert content["status"] in {"ok", "error"}, name
                assert content["status"] == "ok" or content["ename"], name
                assert time.monotonic() - begin < 5, name
        for kind, wrong in (
            ("purge_request", {"msg_ids": {"$ne": 1}}),
            ("result_request", {"msg_ids": 5}),
            ("resubmit_request", {"msg_ids": [5, None]}),
            ("queue_request", {"targets": ["x" * 10_000]}),
        ):
            assert peer.ask("registration", peer.message(kind, wrong))["content"]["ename"], kind
        peer.send("registration", peer.message("unregistration_request", {"id": "0 OR 1=1"}))
        assert peer_still_served(peer)
        assert rc.ids == [0]
    assert len(rc.hub_history()) == known, "a query changed the records"
    assert rc[0].apply_async(os.getpid).get(timeout=10)
