"""Messages made to mislead: ids, replays, false engines (users.md 5c)."""

from __future__ import annotations

import datetime
import json
import os
import signal
import time

import ipyparallel as ipp
import pytest
import zmq

from .conftest import StackFactory
from .hostile import ENGINES, engine_uuid, expect_silence, nap, peer_still_served
from .pairings import A, C
from .polling import holds_for, wait_until
from .procs import freeze
from .raw import CHANNELS, RawPeer, header
from .stack import Stack

pytestmark = pytest.mark.pairings(C, why="the reference fails here (users.md 5c)")
FULL = os.environ.get("IPF_FULL", "") not in {"", "0"}
T = 15


def target_for(channel: str, rc: ipp.Client) -> bytes | None:
    """The engine's identity where the channel needs one."""
    return engine_uuid(rc) if channel in {"mux", "control"} else None


# --- 4: no key --------------------------------------------------------------------------------


def test_no_key_on_an_open_address_is_refused(make_stack: StackFactory) -> None:
    stack = make_stack()
    refused = stack.start_controller("--no-secure", "--ip=0.0.0.0", wait=False)
    assert refused.wait(T) == 2
    assert "--i-know-this-is-insecure" in refused.text()
    stack.start_controller("--no-secure", "--ip=0.0.0.0", "--i-know-this-is-insecure")
    assert stack.connection("client")["key"] == ""


# --- 5, 6: replays ----------------------------------------------------------------------------


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_replay_is_refused_on_every_socket_of_the_queue(
    peer: RawPeer, normal: ipp.Client, channel: str
) -> None:
    msg_type = {"registration": "connection_request", "control": "clear_request"}.get(
        channel, "bogus_request"
    )
    metadata = {"targets": 5} if channel == "broadcast" else {}
    frames = peer.message(msg_type, metadata=metadata)
    target = target_for(channel, normal)
    peer.ask(channel, frames, target)
    peer.send(channel, frames, target)
    with RawPeer(peer.connection) as second:
        second.send(channel, frames, target)
        expect_silence(second, channel)
    expect_silence(peer, channel)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_replay_is_refused_on_every_other_queue(
    peer: RawPeer, normal: ipp.Client, channel: str
) -> None:
    frames = peer.message("clear_request" if channel == "control" else "bogus_request")
    peer.ask(channel, frames, target_for(channel, normal))
    others = [other for other in CHANNELS if other != channel]
    with RawPeer(peer.connection) as second:
        for other in others:
            second.send(other, frames, target_for(other, normal))
        expect_silence(second, *others)
    for engine in normal.ids:  # nobody got what was signed for somebody else
        assert normal[engine].apply_async(os.getpid).get(timeout=T)


def dated(age: float) -> str:
    """A header's date, ``age`` seconds ago."""
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age)
    return then.isoformat().replace("+00:00", "Z")


def test_a_replay_from_before_a_restart_is_refused(make_stack: StackFactory) -> None:
    stack = make_stack()
    first = stack.start_controller("--reuse")
    with RawPeer(stack.connection("client")) as peer:
        old = peer.message("", head=header("connection_request", date=dated(30)))
        peer.ask("registration", old)
        first.popen.send_signal(signal.SIGTERM)
        first.wait(T)
        stack.start_controller("--reuse", "--replay-window=5")
        fresh = peer.message("connection_request")
        peer.send("registration", old)
        peer.send("registration", fresh)
        reply = peer.receive("registration", T)
        assert reply, "a request of today is answered"
        assert reply["parent_header"]["msg_id"] == json.loads(fresh[2])["msg_id"]
        expect_silence(peer, "registration")
    wait_until(lambda: "--replay-window" in stack.controller.text(), "the log names the option")


# --- 13: msg_ids ------------------------------------------------------------------------------

MSG_IDS = {
    "empty": "",
    "a megabyte": "x" * (1 << 20),
    "quotes": '"}, "msg_id": "other", {"',
    "a path": "../../../etc/passwd",
    "control characters": "\x00\n\x1b[31m",
    "no string": 5,
    "unicode": "\u202e\U0001f600",
}


@pytest.mark.parametrize("name", MSG_IDS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_odd_msg_ids_harm_nobody(
    peer: RawPeer, victim: Stack, normal: ipp.Client, name: str, channel: str
) -> None:
    kind = "connection_request" if channel == "registration" else "bogus_request"
    head = header(kind, msg_id=MSG_IDS[name])
    metadata = {"targets": [[engine_uuid(normal).decode(), 0]], "is_coalescing": True}
    frames = peer.message("", head=head, metadata=metadata if channel == "broadcast" else None)
    peer.send(channel, frames, target_for(channel, normal))
    reply = peer.receive(channel, 1)
    if reply:
        assert reply["parent_header"]["msg_id"] == MSG_IDS[name]
    assert peer_still_served(peer)
    assert "\x1b[31m" not in victim.controller.text()


@pytest.mark.parametrize(
    "date", ["", "never", 5, None, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
)
def test_forged_dates_harm_nobody(peer: RawPeer, normal: ipp.Client, date: object) -> None:
    content = {"code": "1", "silent": True, "user_expressions": {}}
    frames = peer.message("", content, {}, head=header("execute_request", date=date))
    peer.send("task", frames)
    peer.receive("task", 2)
    assert peer_still_served(peer)


def test_two_direct_requests_with_one_id_run_once(peer: RawPeer, normal: ipp.Client) -> None:
    normal[:].push({"runs": 0}, block=True)
    head = header("execute_request")
    content = {"silent": True, "user_expressions": {}}
    for code in ("runs += 1; import time; time.sleep(0.3)", "runs += 1"):
        frames = peer.message("", {"code": code} | content, head=head)
        peer.send("mux", frames, engine_uuid(normal))
    assert peer.receive("mux", T)
    expect_silence(peer, "mux")
    assert sum(normal[:]["runs"]) == 1


@pytest.mark.parametrize("coalescing", [False, True])
def test_an_unknown_type_on_the_broadcast_queue_is_answered(
    peer: RawPeer, normal: ipp.Client, coalescing: bool
) -> None:
    targets = [[engine_uuid(normal, i).decode(), i] for i in range(ENGINES)]
    metadata = {"targets": targets, "is_broadcast": True, "is_coalescing": coalescing}
    frames = peer.message("bogus_request", {}, metadata)
    peer.send("broadcast", frames)
    for _ in range(1 if coalescing else ENGINES):
        reply = peer.receive("broadcast", T)
        assert reply, "no answer"
        assert reply["content"]["status"] == "error"


# --- 45: a false engine -----------------------------------------------------------------------


class FalseEngine:
    """Registers with the key, has a heart, and then lies."""

    def __init__(self, peer: RawPeer, uuid: str) -> None:
        self.peer = peer
        self.uuid = uuid
        who = uuid.encode()
        self.shell = peer.socket("mux", zmq.ROUTER, who)
        self.shell.connect(peer.url("task"))
        self.shell.connect(peer.url_of(peer.connection["broadcast"][0]))
        self.registration = peer.socket("registration", zmq.DEALER, who)
        self.pong = peer.socket("hb_pong", zmq.DEALER, who)
        self.ping = peer.socket("hb_ping", zmq.SUB)
        self.ping.subscribe(b"")
        self.registration.send_multipart(peer.message("registration_request", {"uuid": uuid}))
        assert self.registration.poll(5000)
        self.id = json.loads(self.registration.recv_multipart()[-1])["id"]
        assert self.ping.poll(5000)
        self.pong.send(self.ping.recv())

    def answer(self, queue: bytes, client: bytes, parent: dict, **metadata: object) -> None:
        """A well-formed reply of ours to somebody else's request."""
        lie = self.peer.message(
            "apply_reply",
            {"status": "ok"},
            {"status": "ok", "engine": self.uuid, "dependencies_met": True} | metadata,
            parent=parent,
            buffers=[b"\x80\x04K\x06."],
        )
        for prefix in ([queue, client], [queue]):
            self.shell.send_multipart([*prefix, *lie])


def test_a_false_engine_answers_nobody_elses_tasks(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1)
    pid = rc[0].apply_sync(os.getpid)
    with RawPeer(stack.connection("engine")) as peer:
        liar = FalseEngine(peer, "11111111-222222222222222222222222")
        wait_until(lambda: len(rc.ids) == 2, "the false engine is registered")
        direct = rc[0].apply_async(nap, 1.0)
        task = rc.load_balanced_view(targets=[0]).apply_async(nap, 1.0)
        plain = rc.broadcast_view([0]).apply_async(nap, 0.5)
        coalescing = rc.broadcast_view([0], is_coalescing=True).apply_async(nap, 0.5)
        clients = [bytes([0, *number.to_bytes(4, "big")]) for number in range(1, 12)]
        for ar in (direct, task, plain, coalescing):
            msg_id = ar.msg_ids[0]
            parent = header("apply_request", msg_id=msg_id, session=rc.session.session)
            for queue in (b"mux_out", b"task_out", b"sub_scheduler_0"):
                for client in clients:
                    liar.answer(queue, client, parent)
                    liar.answer(
                        queue,
                        client,
                        parent,
                        is_broadcast=True,
                        is_coalescing=True,
                        original_msg_id=msg_id,
                    )
        assert direct.get(timeout=T) == pid
        assert task.get(timeout=T) == pid
        assert plain.get(timeout=T) == [pid]
        assert coalescing.get(timeout=T) == [pid]


def test_a_false_engine_can_not_stop_another_with_a_wrong_session(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1)
    with RawPeer(stack.connection("engine")) as peer:
        iopub = peer.socket("iopub", zmq.PUB)
        time.sleep(0.3)  # PUB drops what it sends before the connection is there
        content = {"status": "ok", "restart": False}
        for topic in (b"engine.0.shutdown", b""):
            iopub.send_multipart([topic, *peer.message("shutdown_reply", content)])
        holds_for(lambda: rc.ids == [0], "the engine stays", 0.5)


# --- 33, 34: processes that stand still -------------------------------------------------------


@pytest.mark.pairings(A, C, why="our controller with both kinds of engines")
@pytest.mark.parametrize(
    ("ping", "seconds"),
    [(100, 4), pytest.param(3000, 60, marks=pytest.mark.skipif(not FULL, reason="a minute"))],
)
def test_a_controller_that_stood_still_goes_on(
    make_stack: StackFactory, ping: int, seconds: int
) -> None:
    stack = make_stack()
    rc = stack.start(2, ping=ping)
    pids = rc[:].apply_sync(os.getpid)
    freeze(stack.controller.pid)
    queued = rc.load_balanced_view().map_async(nap, [0.01] * 10)
    direct = rc[:].apply_async(os.getpid)
    time.sleep(seconds)  # more heart beats than an engine may miss
    os.kill(stack.controller.pid, signal.SIGCONT)
    assert direct.get(timeout=T) == pids
    assert len(queued.get(timeout=T)) == 10
    assert rc.ids == [0, 1]
    holds_for(lambda: rc.ids == [0, 1], "no engine is lost", 15 * ping / 1000)
    assert "unregister_engine" not in stack.controller.text()


def test_a_frozen_engine_comes_back_within_its_misses(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, ping=300)
    pids = rc[:].apply_sync(os.getpid)
    freeze(pids[0])
    waiting = rc[0].apply_async(os.getpid)
    assert rc[1].apply_async(os.getpid).get(timeout=T) == pids[1]
    time.sleep(1)
    os.kill(pids[0], signal.SIGCONT)
    assert waiting.get(timeout=T) == pids[0]
    assert rc.ids == [0, 1]
