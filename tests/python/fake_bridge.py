"""A bridge that records, in place of the C++ host."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Published:
    """One message, or one piece of stream text (`msg_type` is then ``"stream"``)."""

    msg_type: str
    topic: str
    content: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    buffers: list[bytes] = field(default_factory=list)


class FakeBridge:
    """Keeps everything in the order in which it came."""

    def __init__(self, engine_id: int = 3, engine_uuid: str = "uuid-3") -> None:
        self.engine_id = engine_id
        self.engine_uuid = engine_uuid
        self.messages: list[Published] = []
        self.header: dict[str, Any] = {}
        self.flushes = 0
        self.answers: list[str] = []
        self.asked: list[tuple[str, bool]] = []
        self.place = ("", "")

    def write(self, name: str, text: str) -> None:
        text.encode("utf-8")  # the real bridge needs UTF-8 and raises UnicodeEncodeError
        self.messages.append(Published("stream", name, {"name": name, "text": text}))

    def flush(self) -> None:
        self.flushes += 1

    def publish(
        self,
        msg_type: str,
        topic: str,
        content_json: str,
        metadata_json: str = "{}",
        buffers: list[Any] | None = None,
    ) -> None:
        frames = [bytes(buffer) for buffer in buffers or []]
        content, metadata = json.loads(content_json), json.loads(metadata_json)
        self.messages.append(Published(msg_type, topic, content, metadata, frames))

    def current_header(self) -> str:
        return json.dumps(self.header)

    def ask(self, prompt: str, password: bool) -> str | None:
        self.asked.append((prompt, password))
        return self.answers.pop(0) if self.answers else None

    def bind_kernel(self, wanted: str, file: str) -> None:
        self.place = (file, wanted)

    def kernel_place(self) -> tuple[str, str]:
        return self.place

    def take(self) -> list[Published]:
        """Return what was recorded and forget it."""
        taken, self.messages = self.messages, []
        return taken

    def text(self, name: str = "stdout") -> str:
        """Return the text of one stream so far."""
        return "".join(m.content["text"] for m in self.messages if m.topic == name)
