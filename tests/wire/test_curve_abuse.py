"""Peers that do not encrypt, or no longer have the key, at a controller that does (users.md 5c)."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import ipyfleet
import pytest
import zmq

from .conftest import StackFactory
from .pairings import C
from .polling import wait_until
from .raw import ports
from .stack import Stack
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
