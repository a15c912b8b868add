"""ZMTP by hand, for bytes that no library would send."""

from __future__ import annotations

import socket
import struct
import time

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def ready(kind: bytes, identity: bytes = b"") -> bytes:
    """The READY command of a peer of this socket type."""
    body = b"\x05READY" + _property(b"Socket-Type", kind) + _property(b"Identity", identity)
    return bytes([4, len(body)]) + body


def frame(data: bytes, *, more: bool = False) -> bytes:
    """A short or long message frame."""
    if len(data) < 256:
        return bytes([1 if more else 0, len(data)]) + data
    return bytes([3 if more else 2]) + struct.pack(">Q", len(data)) + data


def frame_header(size: int) -> bytes:
    """The beginning of a long frame of this many bytes."""
    return b"\x02" + struct.pack(">Q", size)


def connect(port: int, kind: bytes = b"DEALER", identity: bytes = b"") -> socket.socket:
    """A connection that is through its handshake."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall(GREETING)
    _read_exactly(connection, 64)
    connection.sendall(ready(kind, identity))
    head = _read_exactly(connection, 2)
    _read_exactly(connection, head[1])
    return connection


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionError("closed during the handshake")
        data += chunk
    return data


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the other side closes the connection in time; what it sends meanwhile is skipped."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False
