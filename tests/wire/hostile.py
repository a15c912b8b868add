"""Helpers of the hostile tests."""

from __future__ import annotations

import json
from collections.abc import Sequence

import ipyparallel as ipp
from ipyparallel import interactive

from .polling import holds_for, wait_until
from .raw import RawPeer

ENGINES = 2
SILENCE = 0.4  # seconds in which an answer to a rejected message would have come


@interactive
def nap(seconds: float) -> int:
    """A normal task."""
    import os
    import time

    time.sleep(seconds)
    return os.getpid()


def engine_uuid(normal: ipp.Client, number: int = 0) -> bytes:
    """Routing identity of an engine."""
    return normal._engines[number].encode()


def expect_silence(peer: RawPeer, *channels: str) -> None:
    """No answer of any kind to this peer arrives on any of ``channels``."""
    holds_for(
        lambda: not any(peer.receive(name, 0.01) for name in channels),
        f"silence on {', '.join(channels)}",
        SILENCE,
    )


def expect_error(peer: RawPeer, channel: str, frames: Sequence[bytes], **kwargs: object) -> dict:
    """An error reply with a name arrives; returns its content."""
    content = peer.ask(channel, frames, **kwargs)["content"]
    assert content["status"] == "error"
    assert content["ename"]
    return content


def peer_still_served(peer: RawPeer) -> bool:
    """Whether the same peer gets an answer to a correct request, other answers skipped."""
    frames = peer.message("connection_request")
    wanted = json.loads(frames[2])["msg_id"]
    peer.send("registration", frames)

    def answered() -> bool:
        reply = peer.receive("registration", 5)
        return bool(reply) and (reply["parent_header"] or {}).get("msg_id") == wanted

    return wait_until(answered, "answer to a correct request after odd ones")
