"""How a call ran, and the replies to source text."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from . import serialize
from ._native import parse_date

if TYPE_CHECKING:
    from ._native import Request
    from .connection import Connection

__all__ = ["ExecuteReply", "Metadata"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_REWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")
_REPR_MAX = 32
_MIME_TYPES = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_latex_": "text/latex",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_pdf_": "application/pdf",
    "_repr_json_": "application/json",
    "_repr_javascript_": "application/javascript",
}


def to_datetime(microseconds: int | None) -> datetime | None:
    """Return an aware datetime of microseconds since 1970."""
    return None if not microseconds else _EPOCH + timedelta(microseconds=microseconds)


def date_in(fields: Mapping[str, Any], key: str) -> datetime | None:
    """Return the date that is there as text under a key."""
    text = fields.get(key)
    return to_datetime(parse_date(text)) if isinstance(text, str) else None


class Metadata(dict[str, Any]):
    """How one call ran. Keys are attributes too; there are no others than these.

    ``msg_id``, ``submitted``, ``started``, ``completed``, ``received`` (aware datetimes, UTC),
    ``engine_uuid``, ``engine_id``, ``follow``, ``after``, ``status`` ("ok", "error", "aborted"),
    ``label``, ``execute_input``, ``execute_result``, ``error``, ``stdout``, ``stderr``, ``outputs``
    (contents of ``display_data`` messages), ``data`` (what the call published with
    ``publish_data``). What is not known yet is None, or empty for the last four.
    """

    KEYS: ClassVar[tuple[str, ...]] = (
        *("msg_id", "submitted", "started", "completed", "received", "engine_uuid", "engine_id"),
        *("follow", "after", "status", "execute_input", "execute_result", "error"),
        *("stdout", "stderr", "outputs", "data", "label"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(dict.fromkeys(self.KEYS))
        super().update(stdout="", stderr="", outputs=[], data={})
        self.update(dict(*args, **kwargs))

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        if key not in self:
            raise AttributeError(key)
        self[key] = value

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self:
            raise KeyError(key)
        super().__setitem__(key, value)


def read_metadata(connection: Connection, request: Request) -> Metadata:
    """Return what is known now about a request of this client."""
    metadata = Metadata()
    metadata["msg_id"] = request.msg_id
    metadata["submitted"] = to_datetime(request.submitted)
    metadata["engine_uuid"] = request.target or None
    if request.done:
        metadata["received"] = to_datetime(request.received)
        metadata["status"] = request.status
        if request.metadata:
            sent = json.loads(request.metadata)
            metadata["started"] = date_in(sent, "started")
            metadata["completed"] = date_in(json.loads(request.header), "date")
            metadata["engine_uuid"] = sent.get("engine") or request.target or None
            for key in ("label", "follow", "after"):
                metadata[key] = sent.get(key)
    metadata["engine_id"] = connection.engine_id(metadata["engine_uuid"])
    items, truncated = request.outputs()
    for kind, text, buffers in items:
        add_output(connection, metadata, kind, json.loads(text), buffers)
    for name in ("stdout", "stderr"):
        # A progress bar that rewrites its line shows only what it wrote last.
        metadata[name] = _REWRITTEN.sub("", metadata[name])
    if truncated:
        metadata["stderr"] += "\n[more output was dropped by the client: there was too much]\n"
    return metadata


def add_output(
    connection: Connection,
    metadata: Metadata,
    kind: str,
    content: Mapping[str, Any],
    buffers: list[bytes | memoryview],
) -> None:
    """Add one message that an engine published while it worked on the call."""
    if kind == "stream":
        name = content.get("name")
        if name in ("stdout", "stderr"):
            metadata[name] += content.get("text", "")
    elif kind == "display_data":
        metadata["outputs"].append(content)
    elif kind == "execute_input":
        metadata["execute_input"] = content.get("code")
    elif kind == "execute_result":
        metadata["execute_result"] = content
    elif kind == "error":
        metadata["error"] = connection.unwrap_exception(content)
    elif kind == "data_message" and buffers:
        metadata["data"].update(serialize.deserialize_object(buffers)[0])


class ExecuteReply:
    """The result of executed source text.

    The keys of `Metadata` are attributes and items: ``reply.stdout``, ``reply["engine_id"]``.
    """

    def __init__(
        self,
        msg_id: str,
        content: Mapping[str, Any],
        metadata: Metadata | Callable[[], Metadata],
    ) -> None:
        self.msg_id = msg_id
        self.execution_count: int | None = content.get("execution_count")
        self._read_metadata = (lambda: metadata) if isinstance(metadata, Metadata) else metadata

    @property
    def metadata(self) -> Metadata:
        """What is known now; output may come after the reply."""
        return self._read_metadata()

    @property
    def _result(self) -> dict[str, Any]:
        return self.metadata["execute_result"] or {}

    @property
    def source(self) -> str:
        """The source text of the result, if the engine sent it."""
        return self._result.get("source", "")

    @property
    def data(self) -> dict[str, Any]:
        """The last expression's value by MIME type; empty if the request was silent."""
        return self._result.get("data", {})

    def display(self) -> None:
        """Show the value as IPython shows the one of a cell."""
        from .display import show_value

        show_value(self)

    def _plaintext(self) -> str:
        text = self.data.get("text/plain", "")
        if not text:
            return ""
        from .display import colored

        label = f"Out[{self.metadata['engine_id']}:{self.execution_count}]: "
        separator = "\n" if "\n" in text and not text.startswith("\n") else ""
        return f"{colored(label)}{separator}{text}"

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        data = dict(self.data)
        if "text/plain" in data:
            data["text/plain"] = self._plaintext()
        return data, self._result.get("metadata", {})

    def _repr_mime(self, kind: str) -> Any:
        """Return the value in one form, with its metadata if there is some."""
        if kind not in self.data:
            return None
        metadata = self._result.get("metadata", {}).get(kind)
        return (self.data[kind], metadata) if metadata else self.data[kind]

    def _repr_pretty_(self, p: Any, cycle: bool) -> None:
        p.text(self._plaintext())

    def __getitem__(self, key: str) -> Any:
        return self.metadata[key]

    def __getattr__(self, key: str) -> Any:
        if key in Metadata.KEYS:
            return self.metadata[key]
        if key in _MIME_TYPES:  # how IPython asks for one form of a value
            return functools.partial(self._repr_mime, _MIME_TYPES[key])
        raise AttributeError(key)

    def __repr__(self) -> str:
        text = self.data.get("text/plain", "")
        if len(text) > _REPR_MAX:
            text = f"{text[: _REPR_MAX - 3]}..."
        return f"<ExecuteReply[{self.execution_count}]: {text}>"
