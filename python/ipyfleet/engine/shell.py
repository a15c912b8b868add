"""The IPython shell of an engine and its hooks into the C++ host.

The host embeds CPython and owns every socket. It calls `start` once, in the main thread, and then
the methods of the `EngineShell` it got, one request at a time. In the other direction the shell
uses the host's `bridge`: a module whose functions may be called from any thread and never block
for long. Which request is running, and to whom output belongs, is known to the host alone.

Nothing but IPython and traitlets is needed, and what a request does not use is not imported: every
engine of a cluster pays for what is loaded here.
"""

from __future__ import annotations

import base64
import builtins
import io
import json
import math
import numbers
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from IPython.core import page
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import Any as AnyTrait
from traitlets import Type
from traitlets.config import Config

from .. import compat, error, serialize

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from types import TracebackType

Json: TypeAlias = Any

MPI_STARTUP = """\
from mpi4py import MPI
mpi_rank = MPI.COMM_WORLD.Get_rank()
mpi_size = MPI.COMM_WORLD.Get_size()
"""

# Some helpers of ipyparallel start coroutines and rely on a running event loop.
_NEEDS_LOOP = frozenset(("become_dask_worker", "stop_distributed_worker"))
_IDLE_ROUNDS = 8


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


# ---------------------------------------------------------------- JSON


def _json_value(value: Any) -> Json:
    """Convert a value that the json module does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if callable(isoformat) else str(value)


def _finite(value: Any) -> Json:
    """Replace what JSON cannot express: non-finite floats and keys that are not strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_finite(item) for item in value]
    return value


def to_json(value: Any) -> str:
    """Return JSON text for a message; every string in it can be encoded as UTF-8."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_value)
    except (TypeError, ValueError):
        text = json.dumps(_finite(value), ensure_ascii=False, default=_json_value)
    return _encodable(text)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which have no UTF-8 form."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


# ---------------------------------------------------------------- output


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
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        try:
            self._emit(self._name, text)
        except UnicodeEncodeError:
            self._emit(self._name, _encodable(text))
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
            self.shell.bridge.publish("execute_result", "execute_result", to_json(content))


class EngineDisplayPublisher(DisplayPublisher):
    """Publishes what `display` shows, as ``display_data`` or ``update_display_data``."""

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
        self.shell.bridge.publish(kind, "displaypub", to_json(content))

    def clear_output(self, wait: bool = False) -> None:
        self.shell.bridge.publish("clear_output", "displaypub", to_json({"wait": bool(wait)}))


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


# ---------------------------------------------------------------- the IPython shell


class EngineKernel:
    """What code on an engine finds as ``get_ipython().kernel``."""

    def __init__(self, shell: EngineInteractiveShell) -> None:
        self.shell = shell
        self.engine_id: int = shell.bridge.engine_id
        self.engine_uuid: str = shell.bridge.engine_uuid
        self.ident = self.engine_uuid

    @property
    def int_id(self) -> int:
        return self.engine_id

    @property
    def user_ns(self) -> dict[str, Any]:
        return self.shell.user_ns

    @property
    def log(self) -> Any:
        return self.shell.log

    def get_parent(self, channel: str | None = None) -> dict[str, Any]:
        """Return the message being handled, as far as it is known here: its header."""
        return self.shell.get_parent()

    def get_engine_info(self, method: str | None = None) -> dict[str, Any]:
        """Return the part of an error reply that says where the error comes from."""
        info: dict[str, Any] = {"engine_uuid": self.ident, "engine_id": self.engine_id}
        return {**info, "method": method} if method else info


class EngineInteractiveShell(InteractiveShell):
    """IPython without a terminal: everything it shows becomes a message."""

    displayhook_class = Type(EngineDisplayHook)
    display_pub_class = Type(EngineDisplayPublisher)
    displayhook: EngineDisplayHook
    payload_manager: Any
    kernel = AnyTrait()
    bridge = AnyTrait()

    exit_requested = False
    last_error: dict[str, Any] | None = None
    display_failed = False
    _last_traceback: list[str] | None = None

    def init_environment(self) -> None:
        """Ask programs started from here for colours, and not to open a pager."""
        os.environ.update(TERM="xterm-color", CLICOLOR="1", FORCE_COLOR="1", CLICOLOR_FORCE="1")
        os.environ.update(PAGER="cat", GIT_PAGER="cat")

    def init_hooks(self) -> None:
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(self._page), 99)

    def init_data_pub(self) -> None:
        self.data_pub = EngineDataPublisher(self)

    @property
    def engine_metadata(self) -> str:
        """Message metadata that names this engine, as JSON."""
        return to_json({"engine": self.bridge.engine_uuid})

    def _page(
        self, text: Any, start: int = 0, screen_lines: int = 0, pager_cmd: str | None = None
    ) -> None:
        data = text if isinstance(text, dict) else {"text/plain": text}
        self.payload_manager.write_payload({"source": "page", "data": data, "start": max(0, start)})

    def set_next_input(self, text: str, replace: bool = False) -> None:
        payload = {"source": "set_next_input", "text": text, "replace": replace}
        self.payload_manager.write_payload(payload)

    def ask_exit(self) -> None:
        """Note that the user called ``exit()``; the host looks at `exit_requested`."""
        self.exit_requested = True
        self.payload_manager.write_payload({"source": "ask_exit", "keepkernel": None})

    def enable_gui(self, gui: str | None = None) -> None:
        """Accept only what needs no event loop of a window system."""
        if gui not in (None, "", "inline", "agg"):
            raise UsageError(f"an engine has no window system, so it cannot run {gui!r}")

    def get_parent(self) -> dict[str, Any]:
        """Return the message of the request in progress (only its header is known here)."""
        return {"header": json.loads(self.bridge.current_header())}

    @property
    def parent_header(self) -> dict[str, Any]:
        return self.get_parent()["header"]

    # -- errors

    def _showtraceback(self, etype: type, evalue: BaseException | None, stb: list[str]) -> None:
        """Publish an error instead of printing it."""
        name = etype.__name__
        text = error.exception_text(evalue) if evalue is not None else ""
        if self.displayhook.showing:
            # The value exists but could not be shown; clients have to see that as a failure.
            self.display_failed = True
            self.displayhook.showing = False
        self.publish_error({"traceback": stb, "ename": name, "evalue": text})

    def publish_error(self, content: dict[str, Any]) -> None:
        """Send an ``error`` message and remember it for the reply."""
        self.last_error = content
        self._last_traceback = content["traceback"]
        self.bridge.publish("error", "error", to_json(content), self.engine_metadata)
        # The formatter would keep the frames, with all that their variables hold, alive.
        self.InteractiveTB.tb = None

    def error_content(self, exc: BaseException, tb: TracebackType | None) -> dict[str, Any]:
        """Return ename, evalue and rendered traceback of an exception; never raises."""
        # IPython changes syntax errors when it renders them, so their text is taken first.
        text = error.exception_text(exc)
        return {"traceback": self._render(exc, tb), "ename": type(exc).__name__, "evalue": text}

    def _render(self, exc: BaseException, tb: TracebackType | None) -> list[str]:
        try:
            custom = getattr(exc, "_render_traceback_", None)
            if custom is not None:
                return [str(line) for line in custom()]
            if isinstance(exc, SyntaxError):
                frames = traceback.extract_tb(tb)
                return list(self.SyntaxTB.structured_traceback(type(exc), exc, frames))
            if not hasattr(exc, "exceptions"):  # IPython does not format exception groups
                formatter = self.InteractiveTB
                return list(formatter.structured_traceback(type(exc), exc, tb, tb_offset=0))
        except Exception:
            pass  # user code can break the rendering; the plain form follows
        try:
            return traceback.format_exception(type(exc), exc, tb)
        except Exception:
            return [f"{type(exc).__name__}: {error.exception_text(exc)}"]


def _refuse_input(prompt: object = "", stream: Any = None) -> str:
    raise StdinNotImplementedError("an engine has no one to ask: input() is not supported here")


# ---------------------------------------------------------------- what the host calls


class EngineShell:
    """The engine as the C++ host sees it. All methods belong to the main thread.

    Attributes
    ----------
    wants_idle
        True while user code has left work in an asyncio loop; the host then calls `do_one_idle`.
    exit_requested
        True once user code has called ``exit()``.
    """

    def __init__(self, shell: EngineInteractiveShell, streams: list[EngineStream]) -> None:
        self.shell = shell
        self.wants_idle = False
        self._streams = streams
        self._loop: asyncio.AbstractEventLoop | None = None
        shell.loop_runner = self._run_coroutine
        os.register_at_fork(after_in_child=self._detach)

    @property
    def exit_requested(self) -> bool:
        return self.shell.exit_requested

    def _detach(self) -> None:
        """Cut a forked child off from the sockets of its parent."""
        detached = DetachedBridge(self.shell.bridge)
        self.shell.bridge = detached
        for stream in self._streams:
            stream.attach(detached)

    # -- requests

    def apply(self, msg_id: str, buffers: list[Any]) -> tuple[str | None, list[Any]]:
        """Call a function.

        Parameters
        ----------
        msg_id
            Id of the request; only for symmetry with `execute`.
        buffers
            The buffers of the ``apply_request``.

        Returns
        -------
        tuple
            JSON text of the error content, or None; and the buffers of the reply. Whatever the
            user code raises ends up in the former.
        """
        try:
            f, args, kwargs = serialize.unpack_apply_message(buffers, self.shell.user_ns)
            if getattr(f, "__name__", None) in _NEEDS_LOOP and f.__module__ == "ipyparallel.util":
                result = self._call_in_loop(f, args, kwargs)
            else:
                result = f(*args, **kwargs)
            reply = serialize.serialize_object(result)
        except BaseException as exc:
            return self._apply_error(exc), []
        finally:
            if "asyncio" in sys.modules:
                self._look_for_loop_work()
        return None, reply

    def _apply_error(self, exc: BaseException) -> str:
        shell = self.shell
        try:
            tb = exc.__traceback__
            # The first frame is apply() itself.
            content = shell.error_content(exc, tb.tb_next or tb if tb is not None else None)
            shell.publish_error(content)
        except BaseException as failure:  # an interrupt at this moment must not cost the reply
            text = f"{error.exception_text(exc)} ({type(failure).__name__} while reporting it)"
            content = {"traceback": [], "ename": type(exc).__name__, "evalue": text}
        return self._error_reply(content, "apply")

    def _error_reply(self, content: dict[str, Any], method: str, **more: Any) -> str:
        info = self.shell.kernel.get_engine_info(method)
        return to_json({"status": "error", **content, "engine_info": info, **more})

    def execute(self, msg_id: str, content_json: str) -> str:
        """Run code as if it had been typed in.

        Parameters
        ----------
        msg_id
            Id of the request.
        content_json
            Content of the ``execute_request``.

        Returns
        -------
        str
            JSON text of the content of the ``execute_reply``.
        """
        shell = self.shell
        try:
            return self._execute(json.loads(content_json))
        except BaseException as exc:
            content = shell.error_content(exc, exc.__traceback__)
            more = {"execution_count": shell.execution_count - 1, "user_expressions": {}}
            return self._error_reply(content, "execute", **more, payload=[])
        finally:
            if "asyncio" in sys.modules:
                self._look_for_loop_work()

    def _execute(self, request: dict[str, Any]) -> str:
        shell = self.shell
        code = request["code"]
        silent = bool(request.get("silent", False))
        store_history = bool(request.get("store_history", not silent))
        shell.last_error = None
        shell.display_failed = False
        if not silent:
            content = {"code": code, "execution_count": shell.execution_count}
            shell.bridge.publish(
                "execute_input", "execute_input", to_json(content), shell.engine_metadata
            )
        result = shell.run_cell(code, store_history=store_history, silent=silent)
        failure = result.error_before_exec or result.error_in_exec
        payload = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        count = shell.execution_count - 1
        if failure is None and not shell.display_failed:
            expressions = shell.user_expressions(request.get("user_expressions") or {})
            return to_json(
                {
                    "status": "ok",
                    "execution_count": count,
                    "user_expressions": expressions,
                    "payload": payload,
                }
            )
        if shell.last_error is None:
            # IPython prints some errors itself (usage errors, exception groups).
            shell.publish_error(shell.error_content(failure, failure.__traceback__))
        more = {"execution_count": count, "user_expressions": {}, "payload": payload}
        return self._error_reply(self._failure_content(failure), "execute", **more)

    def _failure_content(self, failure: BaseException | None) -> dict[str, Any]:
        content = dict(self.shell.last_error or {})
        if failure is not None:
            content["ename"] = type(failure).__name__
            content["evalue"] = error.exception_text(failure)
        return content

    def clear(self) -> None:
        """Empty the user namespace; the history stays."""
        self.shell.reset(new_session=False)

    # -- asyncio

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop of the main thread, made when it is first needed."""
        import asyncio

        loop = self._loop
        if loop is not None and not loop.is_closed():
            return loop
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                loop = asyncio.get_event_loop()
            except RuntimeError:
                loop = None
        if loop is None or loop.is_closed():
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        self._loop = loop
        return loop

    def _run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a cell with top-level ``await``; an interrupt cancels it where it waits."""
        loop = self._get_loop()
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt:
            if task.done():
                raise
            task.cancel()
            return loop.run_until_complete(task)

    def _call_in_loop(
        self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        async def call() -> Any:
            return f(*args, **kwargs)

        return self._run_coroutine(call())

    def _look_for_loop_work(self) -> None:
        """Find out whether user code has left tasks or timers behind; never raises."""
        import asyncio

        try:
            loop = self._get_loop()
            # Timers are not tasks; the loop's own list of them is the only place to see them.
            self.wants_idle = bool(asyncio.all_tasks(loop) or getattr(loop, "_scheduled", None))
        except Exception:
            self.wants_idle = False  # a broken loop of the user must not cost a reply

    def do_one_idle(self) -> None:
        """Let the asyncio loop do what can be done without waiting."""
        loop = self._get_loop()
        try:
            for _ in range(_IDLE_ROUNDS):
                loop.call_soon(loop.stop)
                loop.run_forever()
        except BaseException:
            # A task may raise SystemExit or be hit by SIGINT; the engine goes on.
            self.shell.showtraceback()
        self._look_for_loop_work()


# ---------------------------------------------------------------- start


def start(bridge: Bridge, config: Mapping[str, Any] | None = None) -> EngineShell:
    """Make the shell of this process and run the startup code.

    Parameters
    ----------
    bridge
        The host.
    config
        Optional keys: ``startup_command``, ``startup_script`` (str), ``exec_lines`` (list of str),
        ``profile_dir`` (str), ``use_mpi`` (bool) and ``traits``, a dict of
        ``{"ClassName": {"trait": value}}`` for IPython's classes.

    Raises
    ------
    Exception
        If the shell cannot be made, or `use_mpi` is set and MPI does not come up. Errors in the
        user's own startup code are shown on stderr and do not stop the engine.
    """
    options = dict(config or {})
    compat.install()
    if "" not in sys.path:
        sys.path.insert(0, "")  # modules in the working directory, as in every Python prompt
    shell = _make_shell(bridge, options)
    streams = [EngineStream(bridge, "stdout", 1), EngineStream(bridge, "stderr", 2)]
    sys.stdout, sys.stderr = streams  # type: ignore[assignment]
    sys.displayhook = shell.displayhook
    builtins.input = _refuse_input
    _refuse_getpass()
    engine = EngineShell(shell, streams)
    _run_startup_code(shell, options)
    return engine


def _refuse_getpass() -> None:
    import getpass

    getpass.getpass = _refuse_input  # type: ignore[assignment]


def _make_shell(bridge: Bridge, options: Mapping[str, Any]) -> EngineInteractiveShell:
    settings = Config()
    # Input history of this session is kept in lists anyway; a database would only cost memory.
    settings.HistoryManager.enabled = False
    settings.HistoryManager.hist_file = ":memory:"
    for class_name, traits in (options.get("traits") or {}).items():
        settings[class_name].update(traits)
    arguments: dict[str, Any] = {}
    location = options.get("profile_dir")
    if location:
        arguments["profile_dir"] = ProfileDir(location=str(location))
    shell = EngineInteractiveShell.instance(config=settings, bridge=bridge, **arguments)
    shell.kernel = EngineKernel(shell)
    shell.magics_manager.register_lazy("store", "IPython.extensions.storemagic")
    return shell


def _run_startup_code(shell: EngineInteractiveShell, options: Mapping[str, Any]) -> None:
    if options.get("use_mpi"):
        exec(MPI_STARTUP, shell.user_global_ns)
    for path in (os.environ.get("PYTHONSTARTUP"), options.get("startup_script")):
        if path:
            _run_reported(shell, _run_script, str(path))
    lines = list(options.get("exec_lines") or ())
    if options.get("startup_command"):
        lines.append(options["startup_command"])
    for line in lines:
        _run_reported(shell, _run_line, line)
    shell.payload_manager.clear_payload()


def _run_line(shell: EngineInteractiveShell, line: str) -> None:
    result = shell.run_cell(line, store_history=False)
    failure = result.error_before_exec or result.error_in_exec
    if failure is not None:
        raise failure


def _run_script(shell: EngineInteractiveShell, path: str) -> None:
    found = os.path.abspath(os.path.expanduser(path))
    if not os.path.isfile(found):
        raise FileNotFoundError(f"startup file not found: {path}")
    if found.endswith((".ipy", ".ipynb")):
        shell.safe_execfile_ipy(found, raise_exceptions=True)
        return
    shell.user_ns["__file__"] = found
    try:
        shell.safe_execfile(found, shell.user_ns, raise_exceptions=True)
    finally:
        shell.user_ns.pop("__file__", None)


def _run_reported(
    shell: EngineInteractiveShell,
    run: Callable[[EngineInteractiveShell, str], None],
    what: str,
) -> None:
    """Run startup code; a failure is written to the log of the process and nothing else."""
    try:
        run(shell, what)
    except Exception as exc:
        lines = shell.error_content(exc, exc.__traceback__)["traceback"]
        # Clients do not see output of the time before their requests, but logs keep stderr.
        report = "\n".join([f"Startup code failed: {what}", *lines, ""])
        DetachedBridge(shell.bridge).write("stderr", report)
