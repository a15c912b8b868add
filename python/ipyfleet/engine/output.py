"""Streams, display hook and publishers: how output of user code becomes messages."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher

from .. import serialize
from .bridge import Bridge
from .json_text import encodable, to_json

if TYPE_CHECKING:
    from .interactive import EngineInteractiveShell


class _StreamBytes(io.RawIOBase):
    """The ``buffer`` of an `EngineStream`, for programs that print bytes."""

    def __init__(self, stream: EngineStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        self._stream.flush()


class EngineStream(io.TextIOBase):
    """``sys.stdout`` and ``sys.stderr`` of an engine; any thread may write.

    Parameters
    ----------
    bridge
        Where text goes.
    name
        ``"stdout"`` or ``"stderr"``.
    descriptor
        The file descriptor that C code and child processes use for the same stream.
    """

    encoding = "utf-8"  # type: ignore[assignment]
    errors = "replace"  # type: ignore[assignment]

    def __init__(self, bridge: Bridge, name: str, descriptor: int) -> None:
        self.name = f"<{name}>"
        self._name = name
        self._descriptor = descriptor
        self.attach(bridge)

    def attach(self, bridge: Bridge) -> None:  # type: ignore[override]
        """Send text to this bridge from now on."""
        self._emit = bridge.write
        self._flush = bridge.flush

    def write(self, text: str) -> int:
        if not isinstance(cast("object", text), str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        try:
            self._emit(self._name, text)
        except UnicodeEncodeError:
            self._emit(self._name, encodable(text))
        return len(text)

    def flush(self) -> None:
        self._flush()

    def close(self) -> None:
        """Do nothing: a library that closes the stream must not silence the engine."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._descriptor

    @property
    def buffer(self) -> _StreamBytes:
        return _StreamBytes(self)


class EngineDisplayHook(DisplayHook):
    """Publishes the value of the last expression as ``execute_result``."""

    if TYPE_CHECKING:
        shell: Any
        prompt_count: Any

    showing = False  # old releases of IPython do not tell

    def start_displayhook(self) -> None:
        super().start_displayhook()
        self.showing = True
        self.content: dict[str, Any] = {"data": {}, "metadata": {}}

    def write_output_prompt(self) -> None:
        self.content["execution_count"] = self.prompt_count

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        self.content["data"] = format_dict
        self.content["metadata"] = md_dict or {}

    def finish_displayhook(self) -> None:
        self._is_active = self.showing = False
        content, self.content = self.content, {}
        if content["data"]:
            shell = self.shell
            shell.bridge.publish(
                "execute_result", "execute_result", to_json(content), shell.engine_metadata
            )


class EngineDisplayPublisher(DisplayPublisher):
    """Publishes what `display` shows, as ``display_data`` or ``update_display_data``."""

    if TYPE_CHECKING:
        shell: Any
        _validate_data: Any

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: Any = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,
    ) -> None:
        self._validate_data(data, metadata)
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        kind = "update_display_data" if update else "display_data"
        self._send(kind, content)

    def clear_output(self, wait: bool = False) -> None:
        self._send("clear_output", {"wait": bool(wait)})

    def _send(self, msg_type: str, content: dict[str, Any]) -> None:
        shell = self.shell
        shell.bridge.publish(msg_type, "displaypub", to_json(content), shell.engine_metadata)


class EngineDataPublisher:
    """Sends Python objects to the client while a task is running."""

    def __init__(self, shell: EngineInteractiveShell) -> None:
        self._shell = shell

    def publish_data(self, data: dict[str, Any]) -> None:
        """Send a dict of objects; the client merges it into the task's ``data``."""
        buffers = serialize.serialize_object(data)
        shell = self._shell
        content = to_json({"keys": list(data)})
        shell.bridge.publish("data_message", "datapub", content, shell.engine_metadata, buffers)
