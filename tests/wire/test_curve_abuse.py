"""Peers that do not encrypt, or no longer have the key (users.md 5c)."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ipyfleet
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from .conftest import StackFactory
from .pairings import A, C
from .polling import wait_until
from .raw import RawPeer, ports
from .stack import Stack
from .tasks import run_and_tell
from .zmtp import GREETING, ready

pytestmark = pytest.mark.pairings(C, why="the reference fails here (users.md 5c)")


@pytest.fixture
def encrypted(make_stack: StackFactory) -> Stack:
    """A controller that encrypts, without engines."""
    stack = make_stack()
    stack.start_controller("--enable-curve")
    return stack


# --- downgrade ------------------------------------------------------------------------------------

OLD_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
DOWNGRADES = {
    "ZMTP 3, NULL": GREETING + ready(b"DEALER"),
    "ZMTP 3, PLAIN": GREETING.replace(b"NULL\0", b"PLAIN") + b"\x04\x0a\x05HELLO\x01a\x01b",
    "ZMTP 2": OLD_SIGNATURE + b"\x01\x05" + b"\x00\x00",
    "ZMTP 1": b"\x01\x00" + b"\x02\x00x",
}


def answers_until_closed(port: int, said: bytes, seconds: float) -> bytes:
    """What the other side says before it closes; fails when it does not close in time."""
    heard = b""
    deadline = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(said)
        while True:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                chunk = connection.recv(4096)
            except ConnectionResetError:
                return heard
            if not chunk:
                return heard
            heard += chunk


def test_a_peer_without_encryption_is_refused_on_every_port(encrypted: Stack) -> None:
    everywhere = ports(encrypted.connection("client"), encrypted.connection("engine"))
    for how, said in DOWNGRADES.items():
        for name, port in everywhere.items():
            heard = answers_until_closed(port, said, 5)
            # Its greeting, which names the mechanism, and nothing behind it.
            assert len(heard) <= len(GREETING), (how, name, heard)
            assert b"NULL" not in heard, (how, name)
    assert "this socket has CURVE" in encrypted.controller.text()
    with ipyfleet.Client(str(encrypted.connection_file("client"))) as client:
        assert client.ids == []


@pytest.fixture
def impostor() -> Iterator[tuple[int, list[bytes]]]:
    """A port where somebody speaks NULL, and what it hears behind the peer's greeting."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    connection.sendall(GREETING + ready(b"ROUTER"))
                    try:
                        while chunk := connection.recv(4096):
                            heard.append(chunk)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_our_client_tells_nothing_to_who_does_not_encrypt(
    encrypted: Stack, impostor: tuple[int, list[bytes]], tmp_path: Path
) -> None:
    port, heard = impostor
    info = encrypted.connection("client") | {"registration": port}
    stranger = tmp_path / "file.json"
    stranger.write_text(json.dumps(info))
    with pytest.raises(TimeoutError):
        ipyfleet.Client(str(stranger), timeout=1)
    assert heard
    said = b"".join(heard)
    assert said.count(b"CURVE") * len(GREETING) == len(said), "greetings only"


# --- a subscriber without a key -------------------------------------------------------------------


def test_a_subscriber_without_a_key_gets_nothing(encrypted: Stack) -> None:
    rc = encrypted.start_engines(1)
    info = encrypted.connection("client")
    context = zmq.Context()
    wrong = zmq.curve_keypair()[0]
    spies: list[zmq.Socket[bytes]] = []
    for port in (info["iopub"], info["notification"]):
        for server_key in (None, wrong):
            spy = context.socket(zmq.SUB)
            spy.linger = 0
            if server_key:
                spy.curve_serverkey = server_key
                spy.curve_publickey, spy.curve_secretkey = zmq.curve_keypair()
            spy.subscribe(b"")
            spy.connect(f"tcp://127.0.0.1:{port}")
            spies.append(spy)
    try:
        with ipyfleet.Client(str(encrypted.connection_file("client"))) as ours:
            # Both kinds of clients hear outputs and notifications all the while.
            encrypted.add_engines(rc, 1)
            for client in (rc, ours):
                wait_until(lambda client=client: len(client.ids) == 2, "the notification")
                for _ in range(3):
                    done = client[:].execute("print('secret')", silent=False)
                    done.get(20)
                    done.wait_for_output(20)
                    assert done.stdout == ["secret\n"] * 2
        assert [spy.poll(100) for spy in spies] == [0] * len(spies)
    finally:
        context.destroy(linger=0)


# --- other keys while it runs ---------------------------------------------------------------------


class OldPeer:
    """A socket with the keys of old connection files, and what happens to its connection."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], kind: int, port: int, key: str):
        self.socket = context.socket(kind)
        self.socket.linger = 0
        self.socket.curve_serverkey = key.encode()
        self.socket.curve_publickey, self.socket.curve_secretkey = zmq.curve_keypair()
        if kind == zmq.SUB:
            self.socket.subscribe(b"")
        self.monitor = self.socket.get_monitor_socket()
        self.socket.connect(f"tcp://127.0.0.1:{port}")
        self.expect(zmq.EVENT_HANDSHAKE_SUCCEEDED, 5)

    def next_event(self, seconds: float) -> int | None:
        """The next thing that happens in time."""
        if not self.monitor.poll(seconds * 1000):
            return None
        return int(recv_monitor_message(self.monitor)["event"])

    def expect(self, event: int, seconds: float) -> None:
        """Fail when this does not happen in time."""
        deadline = time.monotonic() + seconds
        while self.next_event(max(0, deadline - time.monotonic())) != event:
            assert time.monotonic() < deadline, f"no event {event} within {seconds} s"


@pytest.fixture
def old_peer() -> Iterator[Callable[[int, int, str], OldPeer]]:
    """Make peers that are closed at the end."""
    context = zmq.Context()
    made: list[OldPeer] = []

    def make(kind: int, port: int, key: str) -> OldPeer:
        made.append(OldPeer(context, kind, port, key))
        return made[-1]

    yield make
    context.destroy(linger=0)


@pytest.mark.parametrize("encrypted", [True, False], ids=["curve", "hmac"])
def test_new_keys_cut_off_who_has_the_old_ones(
    make_stack: StackFactory, old_peer: Callable[[int, int, str], OldPeer], encrypted: bool
) -> None:
    stack = make_stack()
    stack.start_controller("--journal", *(["--enable-curve"] if encrypted else []))
    stack.start_engines(1).close()
    old = stack.connection("client")
    runs = stack.root / "runs"
    with ipyfleet.Client(str(stack.connection_file("client"))) as ours, RawPeer(old) as raw:
        wait_until(lambda: ours.ids == [0], "the engine")
        pid = ours[0].apply_sync(os.getpid)
        ours[0].push({"kept": 42}, block=True)
        view = ours.load_balanced_view()
        running = view.apply_async(run_and_tell, str(runs), 2)
        waiting = view.apply_async(os.getpid)
        direct = ours[0].apply_async(os.getpid)
        wait_until(runs.exists, "the task runs")
        peers = []
        if encrypted:
            key = old["curve_serverkey"]
            ports_of = {"iopub": zmq.SUB, "notification": zmq.SUB, "mux": zmq.DEALER}
            peers = [old_peer(kind, old[name], key) for name, kind in ports_of.items()]
        else:
            assert raw.query_works()

        os.kill(stack.controller.pid, signal.SIGUSR2)

        for peer in peers:
            peer.expect(zmq.EVENT_DISCONNECTED, 5)
            while peer.socket.poll(0):  # of the time before
                peer.socket.recv_multipart()
        wait_until(lambda: stack.connection("client")["key"] != old["key"], "the new files")
        for role in ("client", "engine"):
            info = stack.connection(role)
            assert (info["curve_serverkey"] == old["curve_serverkey"]) == (not encrypted)
            assert info["mux"] == old["mux"] or role == "engine"
            assert stat.S_IMODE(stack.connection_file(role).stat().st_mode) == 0o600
        # Who reads the files is back, with all that was there.
        assert running.get(20) == pid
        assert waiting.get(20) == pid
        assert direct.get(20) == pid
        assert runs.read_text() == "run\n"
        assert ours.ids == [0]
        assert ours[0].pull("kept", block=True) == 42
        done = ours[0].execute("print('secret')", silent=False)
        done.get(20)
        done.wait_for_output(20)
        assert done.stdout == "secret\n"
        # Who does not is refused from now on.
        for peer in peers:
            assert not peer.socket.poll(0)
            while (event := peer.next_event(0)) is not None:
                assert event != zmq.EVENT_HANDSHAKE_SUCCEEDED
        if not encrypted:
            raw.send("registration", raw.message("connection_request"))
            assert raw.receive("registration", 0.3) is None
    stack.controller.require_alive()


@pytest.mark.pairings(A, why="an engine that does not read the new file")
def test_an_engine_without_the_new_key_is_unregistered(make_stack: StackFactory) -> None:
    stack = make_stack()
    patience = "--IPController.registration_timeout=2"
    stack.start_controller("--journal", patience)
    stack.start_engines(1).close()
    old = stack.connection("client")
    with ipyfleet.Client(str(stack.connection_file("client"))) as ours:
        wait_until(lambda: ours.ids == [0], "the engine")
        os.kill(stack.controller.pid, signal.SIGUSR2)
        # Before that the engine could still take the task, and it would be lost with it.
        wait_until(lambda: stack.connection("client")["key"] != old["key"], "the new files")
        # It must get nothing: it would not understand it, and nobody would ever answer.
        task = ours.load_balanced_view().apply_async(os.getpid)
        wait_until(lambda: ours.ids == [], "the hub gives it up", 20)
        assert "it does not have the new key" in stack.controller.text()
        assert not task.done()
        stack.start_engine()
        assert task.get(20) != 0


def test_keys_are_renewed_at_a_restart(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--enable-curve", "--journal")
    stack.start_engines(1).close()
    old = stack.connection("client")
    with ipyfleet.Client(str(stack.connection_file("client"))) as ours:
        pid = ours[0].apply_sync(os.getpid)
        stack.kill_controller()
        stack.start_controller("--restore", "--new-keys")
        wait_until(lambda: stack.connection("client")["key"] != old["key"], "the new files")
        assert stack.connection("client")["curve_serverkey"] not in {None, old["curve_serverkey"]}
        assert ours[0].apply_async(os.getpid).get(20) == pid


def test_without_a_journal_the_keys_stay(encrypted: Stack) -> None:
    before = encrypted.connection("client")
    os.kill(encrypted.controller.pid, signal.SIGUSR2)
    wait_until(lambda: "no new keys" in encrypted.controller.text(), "it says why")
    assert encrypted.connection("client") == before


def test_what_was_encrypted_is_so_after_a_restart(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--enable-curve", "--restore")
    key = stack.connection("client")["curve_serverkey"]
    stack.kill_controller()
    second = stack.start_controller("--restore")
    wait_until(lambda: "the last controller encrypted" in second.text(), "it says so")
    assert stack.connection("client")["curve_serverkey"] == key
    with ipyfleet.Client(str(stack.connection_file("client"))) as client:
        assert client.ids == []
