"""The engine as the C++ host sees it.

The host embeds CPython and owns every socket. It calls `start` once, in the main thread, and then
the methods of the `EngineShell` it got, one request at a time. In the other direction the shell
uses the host's `bridge`: a module whose functions may be called from any thread and never block
for long. Which request is running, and to whom output belongs, is known to the host alone.

Nothing but IPython and traitlets is needed, and what a request does not use is not imported: every
engine of a cluster pays for what is loaded here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from IPython.core.profiledir import ProfileDir
from traitlets.config import Config

from .. import compat, error, serialize
from . import comms, profile
from .bridge import Bridge, DetachedBridge
from .event_loop import EventLoop
from .interactive import EngineInteractiveShell, EngineKernel
from .json_text import to_json
from .output import EngineStream
from .startup import run_startup_code
from .user_input import UserInput

# Some helpers of ipyparallel start coroutines and rely on a running event loop.
_NEEDS_LOOP = frozenset(("become_dask_worker", "stop_distributed_worker"))


class EngineShell:
    """What the host calls. All methods belong to the main thread.

    Attributes
    ----------
    shell
        The IPython shell of this process.
    loop
        The asyncio loop of the main thread.
    has_debugger
        Whether ``debug_request`` can be answered.
    """

    def __init__(self, shell: EngineInteractiveShell, streams: list[EngineStream]) -> None:
        self.shell = shell
        self.has_debugger = find_spec("debugpy") is not None
        self.loop = EventLoop()
        self._streams = streams
        self._input = UserInput(shell.bridge)
        self._input.install()
        shell.loop_runner = self.loop.run
        os.register_at_fork(after_in_child=self._detach)

    @property
    def wants_idle(self) -> bool:
        """True while user code has left work in an asyncio loop: the host calls `do_one_idle`."""
        return self.loop.has_work

    @property
    def exit_requested(self) -> bool:
        """True once user code has called ``exit()``."""
        return self.shell.exit_requested

    def _detach(self) -> None:
        """Cut a forked child off from the sockets of its parent."""
        detached = DetachedBridge(self.shell.bridge)
        self.shell.bridge = detached
        self._input.detach()
        for stream in self._streams:
            stream.attach(detached)

    def do_one_idle(self) -> None:
        """Let the asyncio loop do what can be done without waiting."""
        try:
            self.loop.do_one_idle()
        except BaseException:
            # A task may raise SystemExit or be hit by SIGINT; the engine goes on.
            self.shell.showtraceback()

    # -- apply

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
                result = self.loop.call(f, args, kwargs)
            else:
                result = f(*args, **kwargs)
            reply = serialize.serialize_object(result)
        except BaseException as exc:
            return self._apply_error(exc), []
        finally:
            self.loop.look_for_work()
        return None, reply

    def _apply_error(self, exc: BaseException) -> str:
        shell = self.shell
        try:
            tb = exc.__traceback__
            # The first frame is apply() itself.
            content: dict[str, Any] = shell.error_content(
                exc, tb.tb_next or tb if tb is not None else None
            )
            shell.publish_error(content)
        except BaseException as failure:  # an interrupt at this moment must not cost the reply
            text = f"{error.exception_text(exc)} ({type(failure).__name__} while reporting it)"
            content = {"traceback": [], "ename": type(exc).__name__, "evalue": text}
        return self._error_reply(content, "apply")

    def _error_reply(self, content: dict[str, Any], method: str, **more: Any) -> str:
        info = self.shell.kernel.get_engine_info(method)
        return to_json({"status": "error", **content, "engine_info": info, **more})

    # -- execute

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
            request = json.loads(content_json)
            self._input.allowed = bool(request.get("allow_stdin", False))
            return self._execute(request)
        except BaseException as exc:
            content = shell.error_content(exc, exc.__traceback__)
            more: dict[str, Any] = {
                "execution_count": shell.execution_count - 1,
                "user_expressions": {},
            }
            return self._error_reply(content, "execute", **more, payload=[])
        finally:
            self._input.allowed = False
            self.loop.look_for_work()

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
        if shell.last_error is None and failure is not None:
            # IPython prints some errors itself (usage errors, exception groups).
            shell.publish_error(shell.error_content(failure, failure.__traceback__))
        more: dict[str, Any] = {
            "execution_count": count,
            "user_expressions": {},
            "payload": payload,
        }
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

    # -- everything else

    def answer(
        self, header_json: str, metadata_json: str, content_json: str, buffers: list[Any]
    ) -> str:
        """Handle any other message of the shell channel.

        Parameters
        ----------
        header_json, metadata_json, content_json
            Parts of the message as they came.
        buffers
            Its buffers.

        Returns
        -------
        str
            JSON text of the content of the reply; nobody sees it when the message is a comm's.
        """
        try:
            return self._answer(header_json, metadata_json, content_json, buffers)
        finally:
            self.loop.look_for_work()

    def _answer(
        self, header_json: str, metadata_json: str, content_json: str, buffers: list[Any]
    ) -> str:
        method = "message"
        try:
            header, content = json.loads(header_json), json.loads(content_json)
            msg_type = header["msg_type"]
            method = msg_type.removesuffix("_request")
            if msg_type.startswith("comm_") and msg_type != "comm_info_request":
                message = {"header": header, "metadata": json.loads(metadata_json)}
                message |= {"content": content, "buffers": buffers, "parent_header": {}}
                comms.deliver(self.shell.kernel.comm_manager, message)
                return "{}"
            return to_json(self._inquiry(msg_type)(content))
        except BaseException as exc:
            content = self.shell.error_content(exc, exc.__traceback__)
            return self._error_reply(content, method)

    def answer_beside(
        self, header_json: str, metadata_json: str, content_json: str, buffers: list[Any]
    ) -> str:
        """Handle a request of the control channel that needs Python.

        Called in a thread of its own while the main thread may be running user code: for what
        `answer` knows, and for the debugger.
        """
        msg_type = json.loads(header_json)["msg_type"]
        if msg_type != "debug_request":
            return self._answer(header_json, metadata_json, content_json, buffers)
        from . import debugger

        return to_json(debugger.process(self.shell, json.loads(content_json)))

    def _inquiry(self, msg_type: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        from functools import partial

        from . import inquiries

        if msg_type == "comm_info_request":
            return partial(comms.comm_info, self.shell.kernel.comm_manager)
        known = {
            "complete_request": inquiries.complete,
            "inspect_request": inquiries.inspect,
            "is_complete_request": inquiries.is_complete,
            "history_request": inquiries.history,
        }
        return partial(known[msg_type], self.shell)


# ---------------------------------------------------------------- start


def start(bridge: Bridge, config: Mapping[str, Any] | None = None) -> EngineShell:
    """Make the shell of this process and run the startup code.

    Parameters
    ----------
    bridge
        The host.
    config
        Optional keys: ``startup_command``, ``startup_script`` (str), ``exec_lines`` (list of str),
        ``profile_dir`` (str), ``init_profile`` (bool: write its files first), ``use_mpi`` (bool),
        ``mpi_module`` and ``init_mpi`` (str), ``is_kernel`` (bool: a kernel of its own, with the
        history of the user's profile) and ``traits``, a dict of ``{"ClassName": {"trait": value}}``
        for IPython's classes.

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
    engine = EngineShell(shell, streams)
    run_startup_code(shell, options)
    return engine


def _make_shell(bridge: Bridge, options: Mapping[str, Any]) -> EngineInteractiveShell:
    location = options.get("profile_dir")
    if location and options.get("init_profile"):
        profile.initialise(str(location))
    kernel = bool(options.get("is_kernel"))
    settings = profile.load_config(location, kernel=kernel) if location or kernel else Config()
    if not kernel:
        # Input history of this session is kept in lists anyway; a database would only cost memory.
        settings.HistoryManager.enabled = False
        settings.HistoryManager.hist_file = ":memory:"
    configured: Mapping[str, Mapping[str, Any]] = options.get("traits") or {}
    for class_name, traits in configured.items():
        settings[class_name].update(traits)
    arguments: dict[str, Any] = {}
    if location:
        arguments["profile_dir"] = ProfileDir(location=str(location))
    shell = EngineInteractiveShell.instance(config=settings, bridge=bridge, **arguments)
    shell.kernel = EngineKernel(shell)
    shell.magics_manager.register_lazy("store", "IPython.extensions.storemagic")
    return shell
