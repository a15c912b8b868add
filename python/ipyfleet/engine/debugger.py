"""Debugging cells from a frontend: Jupyter's debug messages, answered with the help of debugpy.

The messages are those of the Debug Adapter Protocol. debugpy starts an adapter process; this module
is its client, passes on what it does not answer itself, and publishes what the adapter tells.
Everything here runs in the control thread or in a thread of its own: the main thread is what is
being debugged, and may be stopped.
"""

from __future__ import annotations

import ast
import atexit
import json
import os
import queue
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .json_text import to_json

if TYPE_CHECKING:
    from .interactive import EngineInteractiveShell

Content = dict[str, Any]

_ANSWER_TIMEOUT_S = 20.0
_HASH_SEED = 0x9747B28C
_MASK = 0xFFFFFFFF
_HIDDEN = frozenset(("In", "Out", "exit", "quit", "get_ipython", "open"))


def murmur2(data: bytes, seed: int = _HASH_SEED) -> int:
    """Return the 32-bit MurmurHash2 of `data`, by which frontends name the files of cells."""
    factor = 0x5BD1E995
    value = (seed ^ len(data)) & _MASK
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        part = int.from_bytes(data[i : i + 4], "little") * factor & _MASK
        part = (part ^ part >> 24) * factor & _MASK
        value = (value * factor & _MASK) ^ part
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * factor & _MASK
    value = (value ^ value >> 13) * factor & _MASK
    return value ^ value >> 15


class CellFiles:
    """Files that hold the code of cells, so that breakpoints have a place."""

    def __init__(self) -> None:
        self.prefix = f"{tempfile.mkdtemp(prefix='ipyfleet-cells-')}/"
        self.suffix = ".py"
        atexit.register(shutil.rmtree, self.prefix, ignore_errors=True)

    def name(self, code: str) -> str:
        """Return the path for the code of a cell."""
        return f"{self.prefix}{murmur2(code.encode('utf-8', 'replace'))}{self.suffix}"

    def write(self, code: str) -> str:
        """Write the code of a cell; return the path."""
        path = Path(self.name(code))
        path.write_text(code, encoding="utf-8")
        return str(path)


def _untraced() -> None:
    """Keep debugpy from tracing and stopping this thread."""
    thread = threading.current_thread()
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]


class Adapter:
    """The connection to debugpy's adapter."""

    def __init__(self, address: tuple[str, int], on_event: Callable[[Content], None]) -> None:
        self._socket = socket.create_connection(address, timeout=_ANSWER_TIMEOUT_S)
        self._socket.settimeout(None)
        self._on_event = on_event
        self._answers: dict[int, queue.SimpleQueue[Content]] = {}
        self._sequence = 1_000_000  # far from what frontends count
        self.initialized = threading.Event()
        threading.Thread(target=self._listen, name="debug-adapter", daemon=True).start()

    def send(self, request: Content) -> queue.SimpleQueue[Content]:
        """Send a request; the answer comes in the queue."""
        answer: queue.SimpleQueue[Content] = queue.SimpleQueue()
        self._answers[request["seq"]] = answer
        body = json.dumps(request).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return answer

    def ask(self, request: Content) -> Content:
        """Send a request and wait for its answer.

        Raises
        ------
        TimeoutError
            If the adapter does not answer in time.
        """
        return self.wait(request, self.send(request))

    def wait(self, request: Content, answer: queue.SimpleQueue[Content]) -> Content:
        """Wait for an answer."""
        try:
            return answer.get(timeout=_ANSWER_TIMEOUT_S)
        except queue.Empty:
            raise TimeoutError(f"debugpy has not answered {request['command']!r}") from None
        finally:
            self._answers.pop(request["seq"], None)

    def command(self, name: str, **arguments: Any) -> Content:
        """Ask something of one's own."""
        self._sequence += 1
        request = {"type": "request", "seq": self._sequence, "command": name}
        return self.ask({**request, "arguments": arguments})

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _listen(self) -> None:
        _untraced()
        with self._socket.makefile("rb") as stream:
            while True:
                try:
                    message = self._read(stream)
                except (OSError, ValueError):
                    return
                if message is None:
                    return
                if message.get("type") == "event":
                    if message["event"] == "initialized":
                        self.initialized.set()
                    self._on_event(message)
                elif (waiting := self._answers.get(message.get("request_seq", -1))) is not None:
                    waiting.put(message)

    @staticmethod
    def _read(stream: Any) -> Content | None:
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return json.loads(stream.read(length)) if length else None


class Debugger:
    """Answers debug messages of one process."""

    def __init__(self, shell: EngineInteractiveShell) -> None:
        self._shell = shell
        self._adapter: Adapter | None = None
        self._address: tuple[str, int] | None = None
        self._breakpoints: dict[str, list[Any]] = {}
        self._stopped: set[int] = set()
        self.files = CellFiles()
        shell.compile.cell_file = self.files.name

    def process(self, request: Content) -> Content:
        """Return the answer to one request."""
        own = getattr(self, f"_do_{request['command']}", None)
        if own is not None:
            return own(request)
        return self._forward(request)

    def _forward(self, request: Content) -> Content:
        if self._adapter is None:
            return _failed(request, "the debugger is not started: send 'initialize' first")
        return self._adapter.ask(request)

    def _publish(self, event: Content) -> None:
        body: Content = event.get("body") or {}
        if event["event"] == "stopped":
            self._stopped.add(body.get("threadId", 0))
        elif event["event"] == "continued":
            if body.get("allThreadsContinued"):
                self._stopped.clear()
            self._stopped.discard(body.get("threadId", 0))
        self._shell.bridge.publish(
            "debug_event", "debug_event", to_json(event), self._shell.engine_metadata
        )

    # -- the life of a session

    def _do_initialize(self, request: Content) -> Content:
        if self._adapter is None:
            if self._address is None:
                import debugpy

                # The library would warn on stderr about modules that CPython has built in.
                os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
                self._address = debugpy.listen(("127.0.0.1", 0))
            self._adapter = Adapter(self._address, self._publish)
        return self._adapter.ask(request)

    def _do_attach(self, request: Content) -> Content:
        adapter = self._adapter
        if adapter is None or self._address is None:
            return self._forward(request)
        host, port = self._address
        arguments: Content = {
            **(request.get("arguments") or {}),
            "connect": {"host": host, "port": port},
        }
        arguments.setdefault("justMyCode", True)
        adapter.initialized.clear()
        # The answer comes only when the configuration is done, which frontends do not wait for.
        answer = adapter.send({**request, "arguments": arguments})
        adapter.initialized.wait(_ANSWER_TIMEOUT_S)
        adapter.command("configurationDone")
        return adapter.wait(request, answer)

    def _do_configurationDone(self, request: Content) -> Content:  # noqa: N802 - its wire name
        return _answer(request)

    def _do_disconnect(self, request: Content) -> Content:
        reply = self._forward(request)
        if self._adapter is not None:
            self._adapter.close()
            self._adapter = None
        self._stopped.clear()
        self._breakpoints.clear()
        return reply

    # -- cells

    def _do_dumpCell(self, request: Content) -> Content:  # noqa: N802
        return _answer(request, sourcePath=self.files.write(request["arguments"]["code"]))

    def _do_setBreakpoints(self, request: Content) -> Content:  # noqa: N802
        arguments = request["arguments"]
        self._breakpoints[arguments["source"]["path"]] = arguments.get("breakpoints") or []
        return self._forward(request)

    def _do_source(self, request: Content) -> Content:
        path = request["arguments"]["source"].get("path", "")
        try:
            return _answer(request, content=Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as failure:
            return _failed(request, f"{path}: {failure}")

    def _do_stackTrace(self, request: Content) -> Content:  # noqa: N802
        reply = self._forward(request)
        body: Content = reply.get("body") or {}
        frames: list[Content] = body.get("stackFrames") or []
        if frames:
            # What is below the outermost cell is IPython and the engine.
            sources: list[Content] = [frame.get("source") or {} for frame in frames]
            paths: list[str] = [source.get("path") or "" for source in sources]
            cells = [i for i, path in enumerate(paths) if path.startswith(self.files.prefix)]
            if cells:
                reply["body"]["stackFrames"] = frames[: cells[-1] + 1]
        return reply

    def _do_debugInfo(self, request: Content) -> Content:  # noqa: N802
        return _answer(
            request,
            isStarted=self._adapter is not None,
            hashMethod="Murmur2",
            hashSeed=_HASH_SEED,
            tmpFilePrefix=self.files.prefix,
            tmpFileSuffix=self.files.suffix,
            breakpoints=[
                {"source": path, "breakpoints": lines} for path, lines in self._breakpoints.items()
            ],
            stoppedThreads=sorted(self._stopped),
            richRendering=True,
            exceptionPaths=["Python Exceptions"],
            copyToGlobals=True,
        )

    # -- variables

    def _do_inspectVariables(self, request: Content) -> Content:  # noqa: N802
        shell = self._shell
        hidden = shell.user_ns_hidden
        variables = [
            {
                "name": name,
                "value": repr(value)[:1000],
                "type": type(value).__name__,
                "evaluateName": name,
                "variablesReference": 0,
            }
            for name, value in list(shell.user_ns.items())
            if not name.startswith("_") and name not in _HIDDEN and hidden.get(name) is not value
        ]
        return _answer(request, variables=variables)

    def _do_richInspectVariables(self, request: Content) -> Content:  # noqa: N802
        arguments = request["arguments"]
        name = arguments["variableName"]
        if not name.isidentifier():
            return _failed(request, f"{name!r} is no name of a variable")
        frame = arguments.get("frameId")
        if self._adapter is not None and self._stopped and frame is not None:
            told = self._adapter.command(
                "evaluate",
                expression=f"get_ipython().display_formatter.format({name})",
                frameId=frame,
                context="clipboard",
            )
            if not told.get("success"):
                return _failed(request, told.get("message", f"cannot show {name!r}"))
            data, metadata = ast.literal_eval(told["body"]["result"])
            return _answer(request, data=data, metadata=metadata)
        found = self._shell.user_expressions({name: name})[name]
        if found["status"] != "ok":
            return _failed(request, f"{found['ename']}: {found['evalue']}")
        return _answer(request, data=found["data"], metadata=found["metadata"])

    def _do_copyToGlobals(self, request: Content) -> Content:  # noqa: N802
        arguments = request["arguments"]
        if self._adapter is None:
            return self._forward(request)
        told = self._adapter.command(
            "setExpression",
            expression=f"globals()[{arguments['dstVariableName']!r}]",
            value=arguments["srcVariableName"],
            frameId=arguments["srcFrameId"],
        )
        return {**told, "request_seq": request["seq"], "command": request["command"]}

    def _do_modules(self, request: Content) -> Content:
        import sys

        arguments: Content = request.get("arguments") or {}
        start = arguments.get("startModule", 0)
        named = [
            {"id": i, "name": name, "path": module.__file__}
            for i, (name, module) in enumerate(list(sys.modules.items()))
            if str(getattr(module, "__file__", "")).endswith(".py")
        ]
        stop = start + arguments.get("moduleCount", len(named))
        return _answer(request, modules=named[start:stop], totalModules=len(named))


def _answer(request: Content, **body: Any) -> Content:
    return {
        "type": "response",
        "seq": 0,
        "request_seq": request.get("seq", 0),
        "success": True,
        "command": request.get("command", ""),
        "body": body,
    }


def _failed(request: Content, message: str) -> Content:
    return {**_answer(request), "success": False, "message": message}


_debugger: Debugger | None = None


def process(shell: EngineInteractiveShell, request: Content) -> Content:
    """Return the content of the reply to a ``debug_request``."""
    global _debugger
    _untraced()
    try:
        if _debugger is None:
            _debugger = Debugger(shell)
        return _debugger.process(request)
    except ModuleNotFoundError as failure:
        if failure.name != "debugpy":
            raise
        message = "debugpy is not installed in the environment of this engine: pip install debugpy"
        return _failed(request, message)
    except Exception as failure:
        return _failed(request, f"{type(failure).__name__}: {failure}")
