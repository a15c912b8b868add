"""What the C++ host provides, and what takes its place in a forked child."""

from __future__ import annotations

import json
import os
from typing import Any, Protocol


class Bridge(Protocol):
    """What the C++ host provides."""

    engine_id: int
    engine_uuid: str

    def write(self, name: str, text: str) -> None: ...
    def flush(self) -> None: ...
    def publish(
        self,
        msg_type: str,
        topic: str,
        content_json: str,
        metadata_json: str = "{}",
        buffers: list[Any] = ...,
    ) -> None: ...
    def current_header(self) -> str: ...
    def ask(self, prompt: str, password: bool) -> str | None: ...
    def bind_kernel(self, wanted: str, file: str) -> None: ...
    def kernel_place(self) -> tuple[str, str]: ...


class DetachedBridge:
    """Stands in for the bridge in a forked child, which must not use the engine's sockets.

    Text goes to the file descriptors of the process; messages have nowhere to go.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.engine_id = bridge.engine_id
        self.engine_uuid = bridge.engine_uuid

    def write(self, name: str, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        descriptor = 2 if name == "stderr" else 1
        while data:
            data = data[os.write(descriptor, data) :]

    def flush(self) -> None:
        pass

    def publish(
        self,
        msg_type: str,
        topic: str,
        content_json: str,
        metadata_json: str = "{}",
        buffers: list[Any] | None = None,
    ) -> None:
        if msg_type == "display_data":
            text = json.loads(content_json)["data"].get("text/plain")
            if text is not None:
                self.write("stdout", f"{text}\n")

    def current_header(self) -> str:
        return "{}"

    def ask(self, prompt: str, password: bool) -> str | None:
        return None

    def bind_kernel(self, wanted: str, file: str) -> None:
        raise RuntimeError("a forked child cannot be attached to")

    def kernel_place(self) -> tuple[str, str]:
        return ("", "")
