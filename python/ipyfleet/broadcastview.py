"""Views whose calls are one message for all engines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .directview import DirectView

if TYPE_CHECKING:
    from ._native import Request
    from .client import Client

__all__ = ["BroadcastView"]


class BroadcastView(DirectView):
    """Explicit engines that get their calls by way of the broadcast schedulers.

    A call with large arguments is sent once, and copied at the controller. `scatter` and `map`,
    which have something else for each engine, take the same way, one message after the other.

    Attributes
    ----------
    is_coalescing : bool
        Kept for compatibility. Each engine's reply is read as it comes, so that one that fails
        or dies leaves the results of the others as they are.
    """

    def __init__(
        self, client: Client, socket: Any = None, targets: Any = None, **flags: Any
    ) -> None:
        self.is_coalescing = False
        super().__init__(client, socket, targets, **flags)

    def _broadcast(
        self,
        kind: str,
        uuids: list[str],
        ids: list[int],
        content: str,
        buffers: Sequence[Any],
        label: str | None,
    ) -> list[Request]:
        metadata: dict[str, Any] = {
            "targets": list(zip(uuids, ids, strict=True)),
            "is_broadcast": True,
            "is_coalescing": False,
        }
        label = self.label if label is None else label
        if label is not None:
            metadata["label"] = label
        native = self.client.connection.native
        return native.broadcast(uuids, kind, json.dumps(metadata), content, buffers)

    def _send_call(
        self, uuids: list[str], ids: list[int], buffers: Sequence[Any], label: str | None
    ) -> list[Request]:
        return self._broadcast("apply_request", uuids, ids, "{}", buffers, label)

    def _send_code(
        self, uuids: list[str], ids: list[int], content: str, label: str | None
    ) -> list[Request]:
        return self._broadcast("execute_request", uuids, ids, content, (), label)

    def _remember(self, requests: Sequence[Request]) -> None:
        self._sent.extend(request.msg_id for request in requests)
