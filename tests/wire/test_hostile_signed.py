"""Peers that have the key but send wrong messages: a named error, no slot lost (users.md 5c)."""

from __future__ import annotations

import itertools
import json
import os

import ipyparallel as ipp
import pytest
import zmq

from .conftest import StackFactory
from .hostile import (
    ENGINES,
    engine_uuid,
    expect_error,
    expect_silence,
    nap,
    peer_still_served,
)
from .pairings import REAL, C
from .raw import CHANNELS, RawPeer, header
from .stack import Stack

pytestmark = pytest.mark.pairings(C, why="the reference fails here (users.md 5c)")
SURVIVED = pytest.mark.pairings(C, REAL, why="the reference stands this one")


# --- authenticated, but wrong: an error reply, and no slot is lost -----------------------------


@SURVIVED
def test_a_replayed_query_is_answered_once(peer: RawPeer) -> None:
    frames = peer.message("connection_request")
    peer.ask("registration", frames)
    peer.send("registration", frames)
    expect_silence(peer, "registration")
    with RawPeer(peer.connection) as second:
        second.send("registration", frames)
        expect_silence(second, "registration")


def test_a_replayed_task_runs_once(peer: RawPeer, normal: ipp.Client) -> None:
    normal[:].push({"runs": 0}, block=True)
    code = "runs += 1"
    content = {"code": code, "silent": True, "user_expressions": {}}
    frames = peer.message("execute_request", content, {"targets": [], "after": [], "follow": []})
    peer.ask("task", frames)
    for _ in range(3):
        peer.send("task", frames)
    nap_results = [normal.load_balanced_view().apply_async(nap, 0.05) for _ in range(4)]
    for ar in nap_results:
        ar.get(timeout=10)
    assert sum(normal[:]["runs"]) == 1


@SURVIVED
def test_unknown_query_is_a_key_error(peer: RawPeer) -> None:
    reply = peer.ask("registration", peer.message("bogus_request"))
    assert reply["header"]["msg_type"] == "hub_error"
    assert reply["content"]["ename"] == "KeyError"
    assert "bogus_request" in reply["content"]["evalue"]


@pytest.mark.parametrize("channel", ["task", "mux", "control"])
def test_unknown_message_types_get_an_error(
    peer: RawPeer, normal: ipp.Client, channel: str
) -> None:
    target = None if channel == "task" else engine_uuid(normal)
    for _ in range(ENGINES + 1):
        expect_error(peer, channel, peer.message("bogus_request"), target=target)


WRONG_METADATA = {
    "follow is a number": {"follow": 5},
    "after is a number": {"after": 5},
    "retries is text": {"retries": "many"},
    "retries is negative": {"retries": -3},
    "timeout is text": {"timeout": "soon"},
    "targets is a number": {"targets": 7},
    "targets is unknown": {"targets": ["no-such-engine"]},
    "follow has no ids": {"follow": {"dependencies": 3}},
    "after is nested": {"after": [[["x"]]]},
}


@pytest.mark.parametrize("name", WRONG_METADATA)
def test_wrongly_typed_task_metadata_is_an_error(peer: RawPeer, name: str) -> None:
    for _ in range(ENGINES + 1):
        metadata = {"after": [], "follow": [], "timeout": 0.0, "targets": [], "retries": 0}
        frames = peer.message("apply_request", {}, metadata | WRONG_METADATA[name])
        expect_error(peer, "task", frames)


def test_undecodable_apply_buffers_are_an_error(peer: RawPeer, normal: ipp.Client) -> None:
    for buffers in ([], [b""], [b"not a pickle"], [b"\x80\x04K\x06."] * 3):
        frames = peer.message("apply_request", {}, buffers=buffers)
        expect_error(peer, "task", frames)
        frames = peer.message("apply_request", {}, buffers=buffers)
        expect_error(peer, "mux", frames, target=engine_uuid(normal))


@pytest.mark.parametrize("value", [None, [], 5, "text", True])
def test_content_and_metadata_that_are_no_objects(
    peer: RawPeer, normal: ipp.Client, value: object
) -> None:
    raw = json.dumps(value).encode()
    for channel in ("registration", "task", "mux"):
        target = engine_uuid(normal) if channel == "mux" else None
        kind = "queue_request" if channel == "registration" else "apply_request"
        expect_error(peer, channel, peer.message(kind, content=raw), target=target)
    for channel in CHANNELS:
        target = engine_uuid(normal) if channel in {"mux", "control"} else None
        peer.send(channel, peer.message("apply_request", metadata=raw), target)
        peer.send(channel, peer.message("apply_request", head=raw), target)
        peer.send(channel, peer.message("apply_request", parent=raw), target)


NESTED = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
ODD_JSON = {
    "deep object": NESTED,
    "deep list": b"[" * 200_000 + b"]" * 200_000,
    "huge number": b'{"x": ' + b"9" * 100_000 + b"}",
    "NaN": b'{"x": NaN, "y": Infinity}',
    "duplicate keys": b'{"a": 1, "a": 2}',
    "lone surrogate": b'{"a": "\\ud800"}',
    "invalid utf-8": b'{"a": "\xff\xfe"}',
    "cut": b'{"a": ',
    "8 MB": b'{"a": "' + b"x" * (8 << 20) + b'"}',
}


@pytest.mark.parametrize("name", ODD_JSON)
def test_odd_json_harms_nobody(peer: RawPeer, normal: ipp.Client, name: str) -> None:
    for part, channel in itertools.product(("head", "parent", "metadata", "content"), CHANNELS):
        target = engine_uuid(normal) if channel in {"mux", "control"} else None
        for msg_type in ("apply_request", "connection_request"):
            peer.send(channel, peer.message(msg_type, **{part: ODD_JSON[name]}), target)
    assert peer_still_served(peer)


@pytest.mark.parametrize("size", [65_536, 8 << 20], ids=["64 KiB", "8 MiB"])
def test_huge_header(peer: RawPeer, size: int) -> None:
    for channel in ("registration", "task"):
        head = header("connection_request", padding="x" * size)
        peer.send(channel, peer.message("", head=head))
        head = header("x" * size)
        peer.send(channel, peer.message("", head=head))
    assert peer_still_served(peer)


def test_two_tasks_with_one_id_hang_nobody(peer: RawPeer) -> None:
    content = {"code": "import time; time.sleep(0.2)", "silent": True}
    head = header("execute_request")
    first = peer.message("", content, {"retries": 0}, head=head)
    second = peer.message("", content | {"user_expressions": {}}, {"retries": 0}, head=head)
    peer.send("task", first)
    peer.send("task", second)
    assert peer.receive("task", 10), "neither of the two was answered"


# --- engines that are not there, and peers that pretend to be one ------------------------------


@pytest.mark.parametrize("channel", ["mux", "control"])
def test_a_message_to_an_unknown_engine_is_answered(peer: RawPeer, channel: str) -> None:
    msg_type = "apply_request" if channel == "mux" else "clear_request"
    unknown = b"00000000-000000000000000000000000"
    content = expect_error(peer, channel, peer.message(msg_type), target=unknown)
    assert content["ename"] == "EngineError"
    peer.send(channel, peer.message(msg_type, key="wrong"), unknown)
    expect_silence(peer, channel)


@SURVIVED
def test_a_known_uuid_can_not_register_twice(
    peer: RawPeer, victim: Stack, normal: ipp.Client
) -> None:
    taken = engine_uuid(normal).decode()
    peer.send("registration", peer.message("registration_request", {"uuid": taken}))
    reply = peer.receive("registration")  # has no parent (protocol.md 4.1)
    assert reply, "no answer to the registration"
    assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "KeyError")
    assert normal.ids == list(range(ENGINES))


@SURVIVED
def test_an_identity_that_is_taken_can_not_be_stolen(make_stack: StackFactory) -> None:
    stack = make_stack()  # of its own: a theft that works would break the tests that follow
    rc = stack.start(ENGINES)
    pids = rc[:].apply_sync(os.getpid)
    with RawPeer(stack.connection("engine")) as thief:
        sockets = [
            thief.socket(channel, zmq.ROUTER, engine_uuid(rc))
            for channel in ("mux", "task", "control")
        ]
        assert rc[:].apply_async(os.getpid).get(timeout=5) == pids
        assert not any(s.poll(200) for s in sockets), "the thief received a message"
    assert rc[:].apply_async(os.getpid).get(timeout=5) == pids


def test_results_of_a_stranger_are_not_believed(
    peer: RawPeer, victim: Stack, normal: ipp.Client
) -> None:
    ar = normal[0].apply_async(nap, 0.5)
    task = normal.load_balanced_view().apply_async(nap, 0.5)
    with RawPeer(victim.connection("engine")) as liar:
        for channel, msg_id in (("mux", ar.msg_ids[0]), ("task", task.msg_ids[0])):
            reply = liar.message("apply_reply", {"status": "ok"}, {"status": "ok"})
            parent = header("apply_request", msg_id=msg_id)
            reply = liar.message(
                "apply_reply",
                {"status": "ok"},
                {"status": "ok", "engine": engine_uuid(normal).decode()},
                parent=parent,
                buffers=[b"\x80\x04K\x06."],
            )
            liar.socket(channel, zmq.ROUTER, b"stranger")
            dealer = liar.socket(channel, zmq.DEALER, b"stranger-2")
            dealer.send_multipart([b"mux_out", b"client", *reply])
            dealer.send_multipart([b"client", *reply])
        pids = normal[:].apply_sync(os.getpid)
        assert ar.get(timeout=10) == pids[0]
        assert task.get(timeout=10) in pids
