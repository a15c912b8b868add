"""A peer made of bare sockets: sends exactly the bytes that a test wants to send."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import os
import socket
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import zmq

DELIMITER = b"<IDS|MSG>"
CHANNELS = ("registration", "mux", "task", "control", "broadcast")


def header(msg_type: str, **changes: Any) -> dict[str, Any]:
    """A valid message header."""
    session = uuid.uuid4().hex
    now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    return {
        "msg_id": f"{session}_{os.getpid()}_0",
        "msg_type": msg_type,
        "username": "raw",
        "session": session,
        "date": now,
        "version": "5.4",
    } | changes


def as_bytes(part: Any) -> bytes:
    """JSON of ``part``; bytes stay as they are."""
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def sign(key: str, parts: Sequence[bytes]) -> bytes:
    """The signature of the four signed frames."""
    mac = hmac.new(key.encode(), digestmod=hashlib.sha256)
    for part in parts:
        mac.update(part)
    return mac.hexdigest().encode()


class RawPeer:
    """Client sockets of one connection file; use as a context manager."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self.connection = connection
        self.key: str = connection["key"]
        self._context = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._all: list[zmq.Socket[bytes]] = []
        self._asked: set[str] = set()

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._all:
            each.close(linger=0)
        self._context.term()

    def url(self, channel: str) -> str:
        """Address of a channel."""
        return self.url_of(self.connection[channel])

    def url_of(self, port: int) -> str:
        """Address of a port."""
        return f"{self.connection['interface']}:{port}"

    def socket(
        self, channel: str, kind: int = zmq.DEALER, identity: bytes = b""
    ) -> zmq.Socket[bytes]:
        """A new socket that is connected to ``channel``."""
        new = self._context.socket(kind)
        new.setsockopt(zmq.LINGER, 0)
        if identity:
            new.setsockopt(zmq.IDENTITY, identity)
        self._all.append(new)
        new.connect(self.url(channel))
        return new

    def channel(self, name: str) -> zmq.Socket[bytes]:
        """The DEALER of this peer on ``name``, made at first use."""
        if name not in self._sockets:
            self._sockets[name] = self.socket(name)
        return self._sockets[name]

    def message(
        self,
        msg_type: str,
        content: Any = None,
        metadata: Any = None,
        *,
        head: Any = None,
        parent: Any = None,
        buffers: Sequence[bytes] = (),
        key: str | None = None,
    ) -> list[bytes]:
        """Frames from the delimiter on, signed with ``key`` (default: the right one)."""
        chosen = header(msg_type) if head is None else head
        parts = [as_bytes(chosen)]
        parts += [as_bytes({} if part is None else part) for part in (parent, metadata, content)]
        return [DELIMITER, sign(self.key if key is None else key, parts), *parts, *buffers]

    def send(self, channel: str, frames: Sequence[bytes], target: bytes | None = None) -> None:
        """Send frames, with the engine's identity in front where the channel needs one."""
        prefix = [] if target is None else [target]
        self._note_asked(frames)
        self.channel(channel).send_multipart([*prefix, *frames])

    def _note_asked(self, frames: Sequence[bytes]) -> None:
        try:
            msg_id = json.loads(frames[2])["msg_id"]
        except (LookupError, TypeError, ValueError, RecursionError):
            return
        if msg_id:
            self._asked.add(str(msg_id))

    def receive(self, channel: str, timeout: float = 5.0) -> dict[str, Any] | None:
        """The next message of a channel, verified; ``None`` when there is none in time.

        Replies to requests of other peers are skipped, as clients do: a reply whose client is gone
        is offered to new connections, because the client may be behind one of them.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            source = self.channel(channel)
            if not source.poll(int(left * 1000) + 1):
                return None
            found = self._decode(source.recv_multipart())
            parent = (found["parent_header"] or {}).get("msg_id")
            if parent is None or any(str(parent).startswith(one) for one in self._asked):
                return found
        return None

    def _decode(self, frames: list[bytes]) -> dict[str, Any]:
        at = frames.index(DELIMITER)
        signature, parts = frames[at + 1], frames[at + 2 : at + 6]
        assert signature == sign(self.key, parts), "reply with a wrong signature"
        names = ("header", "parent_header", "metadata", "content")
        found = {name: json.loads(part) for name, part in zip(names, parts, strict=True)}
        return found | {"buffers": frames[at + 6 :]}

    def ask(
        self,
        channel: str,
        frames: Sequence[bytes],
        target: bytes | None = None,
        timeout: float = 5.0,
    ) -> dict[str, Any]:
        """Send and return the answer whose parent is this message."""
        self.send(channel, frames, target)
        msg_id = json.loads(frames[2])["msg_id"]
        reply = self.receive(channel, timeout)
        assert reply, f"no answer on {channel} within {timeout:g} s"
        assert reply["parent_header"].get("msg_id") == msg_id
        return reply

    def query_works(self) -> bool:
        """Whether the hub answers a correct request of this peer."""
        return self.ask("registration", self.message("connection_request"))["content"][
            "status"
        ] == ("ok")


def ports(*connections: dict[str, Any]) -> dict[str, int]:
    """All ports of connection files by a readable name."""
    found = {}
    for number, connection in enumerate(connections):
        for name, value in connection.items():
            values = value if isinstance(value, list) else [value]
            for i, port in enumerate(values):
                if isinstance(port, int) and not isinstance(port, bool):
                    found[f"{number}-{name}-{i}"] = port
    return found


def tcp_exchange(port: int, data: bytes, timeout: float = 0.05) -> bytes:
    """Send bytes to a port as plain TCP and return what comes back before ``timeout``."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(4096):
                received += chunk
        except OSError:  # timed out or reset by the peer: both are fine for the caller
            return received
    return received
