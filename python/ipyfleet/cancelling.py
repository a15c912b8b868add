"""Messages that control engines, and how calls are stopped with them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _native

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["stop_requests", "tell_engines"]

# Time for the interrupt to work, for everything, and between two looks.
_GRACE_S = 3.0
_LONGEST_S = 10.0
_LOOK_S = 0.05


def tell_engines(
    connection: Connection, uuids: Iterable[str], kind: str, content: Mapping[str, Any]
) -> list[_native.Request]:
    """Send a control request of one kind to engines, and return the requests."""
    text = json.dumps(content)
    return [connection.native.send("control", kind, uuid, content=text) for uuid in uuids]


def stop_requests(connection: Connection, requests: Sequence[_native.Request]) -> bool:
    """Stop calls that wait or run; returns whether none of them ends as if nothing had been."""
    everybody = list(connection.engines().values())
    msg_ids = [request.msg_id for request in requests]
    # Engines of IPython Parallel know this one only.
    tell_engines(connection, everybody, "abort_request", {"msg_ids": msg_ids})
    answers = [
        answer
        for request, msg_id in zip(requests, msg_ids, strict=True)
        for answer in tell_engines(
            connection,
            [request.target] if request.target else everybody,
            "cancel_request",
            {"msg_id": msg_id, "grace": _GRACE_S},
        )
    ]
    end = time.monotonic() + _LONGEST_S
    while not _native.wait_all(requests, _LOOK_S):
        if _native.wait_all(answers, 0):
            # Who is stopped answers with the error just before; what no engine has is kept from
            # running wherever the scheduler sends it.
            _native.wait_all(requests, _LOOK_S)
            break
        if time.monotonic() > end:
            return False
    return all(request.status != "ok" for request in requests)
