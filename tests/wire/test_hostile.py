"""Peers without the key, or with garbage, at our controller (users.md 5c)."""

from __future__ import annotations

import json
import os
import random
import socket
import time

import ipyparallel as ipp
import pytest

from .hostile import ENGINES, engine_uuid, expect_silence
from .pairings import REAL, C
from .polling import wait_until
from .raw import CHANNELS, DELIMITER, RawPeer, ports, tcp_exchange
from .stack import Stack

pytestmark = pytest.mark.pairings(C, why="the reference fails here (users.md 5c)")
SURVIVED = pytest.mark.pairings(C, REAL, why="the reference stands this one")


# --- not authenticated: no reply, ever --------------------------------------------------------


def forged(peer: RawPeer, how: str) -> list[bytes]:
    """A connection_request with a bad signature."""
    frames = peer.message("connection_request")
    changes = {
        "wrong key": lambda f: peer.message("connection_request", key="not-the-key"),
        "empty": lambda f: [f[0], b"", *f[2:]],
        "upper case": lambda f: [f[0], f[1].upper(), *f[2:]],
        "truncated": lambda f: [f[0], f[1][:32], *f[2:]],
        "other content": lambda f: [*f[:5], b'{"x": 1}'],
        "not hex": lambda f: [f[0], b"\xff" * 64, *f[2:]],
    }
    return changes[how](frames)


@SURVIVED
@pytest.mark.parametrize(
    "how", ["wrong key", "empty", "upper case", "truncated", "other content", "not hex"]
)
def test_bad_signatures_get_no_reply(peer: RawPeer, normal: ipp.Client, how: str) -> None:
    for channel in CHANNELS:
        target = engine_uuid(normal) if channel in {"mux", "control"} else None
        peer.send(channel, forged(peer, how), target)
    expect_silence(peer, *CHANNELS)
    assert peer.query_works()


SHAPES: dict[str, list[bytes]] = {
    "only a delimiter": [DELIMITER],
    "no delimiter": [b"a", b"b", b"c"],
    "one empty frame": [b""],
    "1000 empty frames": [b""] * 1000,
    "1000 delimiters": [DELIMITER] * 1000,
    "delimiter and signature": [DELIMITER, b"0" * 64],
    "four frames": [DELIMITER, b"0" * 64, b"{}", b"{}", b"{}"],
    "a megabyte": [b"\0" * (1 << 20)],
    "unsigned 8 MB": [DELIMITER, b"", b"{}", b"{}", b"{}", b"{}", b"x" * (8 << 20)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_malformed_frames_get_no_reply(peer: RawPeer, normal: ipp.Client, shape: str) -> None:
    for channel in CHANNELS:
        peer.send(channel, SHAPES[shape])
        peer.send(channel, SHAPES[shape], b"no-such-engine")
        peer.send(channel, SHAPES[shape], engine_uuid(normal))
    expect_silence(peer, *CHANNELS)


@SURVIVED
def test_garbage_on_every_port(peer: RawPeer, victim: Stack) -> None:
    everything = ports(victim.connection("client"), victim.connection("engine"))
    assert len(everything) >= 10
    http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for name, port in everything.items():
        for data in (http, random.Random(5).randbytes(3000), b"\xff" + b"\0" * 8 + b"\x7f", b""):
            answer = tcp_exchange(port, data)
            assert b"HTTP" not in answer, name
            assert b"status" not in answer, name


@SURVIVED
def test_half_open_connections_lock_nobody_out(peer: RawPeer, victim: Stack) -> None:
    everything = list(ports(victim.connection("client")).values())
    opened = [
        socket.create_connection(("127.0.0.1", everything[i % len(everything)]), timeout=5)
        for i in range(300)
    ]
    try:
        with RawPeer(victim.connection("client")) as late:
            assert late.query_works()
        rc = victim.client(timeout=5)
        assert len(rc[:].apply_async(os.getpid).get(timeout=10)) == ENGINES
        rc.close()
    finally:
        for connection in opened:
            connection.close()


# --- the log ----------------------------------------------------------------------------------


def test_rejections_are_logged_once_not_a_thousand_times(peer: RawPeer, victim: Stack) -> None:
    log = victim.controller
    before = len(rejections(log.text()))
    started = time.monotonic()
    for _ in range(1000):
        peer.send("registration", peer.message("connection_request", key="wrong"))
        peer.send("task", peer.message("apply_request", key="wrong"))
    assert peer.query_works()
    # A line of an earlier test may have started the pause in which nothing is logged.
    wait_until(lambda: rejections(log.text()), "a line about rejections")
    allowed = 4 + 2 * int(time.monotonic() - started)
    assert len(rejections(log.text())) - before <= allowed
    assert "Traceback" not in log.text()


def rejections(text: str) -> list[str]:
    """The log lines about messages that were not accepted."""
    words = ("signature", "reject", "dropped", "unauthenticated", "malformed")
    return [line for line in text.splitlines() if any(word in line.lower() for word in words)]


def test_the_key_is_in_no_log_and_on_no_command_line(peer: RawPeer, victim: Stack) -> None:
    key = victim.connection("client")["key"]
    assert key
    for proc in victim.procs:
        assert key not in proc.text()
    for info in victim.processes():
        assert key not in info.command
    registration = peer.message("registration_request", {"uuid": "probe-for-the-key"})
    peer.send("registration", registration)
    reply = peer.receive("registration")
    assert reply, "no answer to the registration"
    assert key not in json.dumps(reply, default=repr)
