"""The IPython shell of an engine and what user code finds as its kernel."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from IPython.core import page
from IPython.core.compilerop import CachingCompiler
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Any as AnyTrait
from traitlets import Type

from .. import error
from . import attach, comms
from .json_text import to_json
from .output import EngineDataPublisher, EngineDisplayHook, EngineDisplayPublisher

if TYPE_CHECKING:
    from types import TracebackType


class EngineSession:
    """What libraries use of a kernel's message session: its id, and `send` to iopub."""

    def __init__(self, shell: EngineInteractiveShell) -> None:
        self._shell = shell
        self.session: str = shell.bridge.engine_uuid

    def send(
        self,
        stream: Any,
        msg_or_type: str,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        metadata: Any = None,
        **ignored: Any,
    ) -> None:
        """Publish a message on iopub, the only channel that is open to user code."""
        topic = ident.decode() if isinstance(ident, bytes) else str(ident or msg_or_type)
        self._shell.bridge.publish(
            msg_or_type, topic, to_json(content or {}), to_json(metadata or {}), list(buffers or ())
        )


class EngineKernel:
    """What code on an engine finds as ``get_ipython().kernel``."""

    iopub_socket = None  # for EngineSession.send, which needs none

    def __init__(self, shell: EngineInteractiveShell) -> None:
        self.shell = shell
        self.engine_id: int = shell.bridge.engine_id
        self.engine_uuid: str = shell.bridge.engine_uuid
        self.ident = self.engine_uuid
        self.session = EngineSession(shell)
        self.comm_manager = comms.make_manager(shell)

    @property
    def int_id(self) -> int:
        return self.engine_id

    @property
    def banner(self) -> str:
        """The first lines of a console."""
        return self.shell.banner

    def bind_kernel(self, **kwargs: Any) -> None:
        """Open ports for Jupyter frontends; see `ipyfleet.engine.attach.bind_kernel`."""
        attach.bind_kernel(**kwargs)

    @property
    def connection_file(self) -> str:
        """Path of the connection file of the kernel ports; empty without them."""
        return attach.connection_file()

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


class EngineCompiler(CachingCompiler):
    """Names the code of cells; with a debugger, after files that frontends know."""

    cell_file: Callable[[str], str] | None = None

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        """Return the file name of a cell."""
        if self.cell_file is not None:
            return self.cell_file(raw_code)
        return super().get_code_name(raw_code, transformed_code, number)


class EngineInteractiveShell(InteractiveShell):
    """IPython without a terminal: everything it shows becomes a message."""

    compiler_class = Type(EngineCompiler)

    displayhook_class = Type(EngineDisplayHook)
    display_pub_class = Type(EngineDisplayPublisher)
    displayhook: EngineDisplayHook
    payload_manager: Any
    kernel = AnyTrait()
    bridge = AnyTrait()

    if TYPE_CHECKING:
        # IPython gives these no types, or says None, which they are not in a shell that runs.
        user_ns_hidden: dict[str, Any]
        banner: Any
        compile: Any
        history_manager: Any
        extension_manager: Any
        profile_dir: Any
        set_hook: Any
        run_cell: Any
        user_expressions: Any
        object_inspect_mime: Any
        safe_execfile: Any
        safe_execfile_ipy: Any

        @property
        def user_global_ns(self) -> dict[str, Any]: ...

        @property
        def user_ns(self) -> dict[str, Any]: ...

        @user_ns.setter
        def user_ns(self, ns: dict[str, Any]) -> None: ...

    exit_requested = False
    last_error: dict[str, Any] | None = None

    def init_virtualenv(self) -> None:
        """Let ``VIRTUAL_ENV`` name the environment that this is, if any.

        The engine's Python was chosen on purpose, perhaps against that variable; IPython would mix
        the packages of the environment that it names into it.
        """
        if os.environ.pop("VIRTUAL_ENV", "") and sys.prefix != sys.base_prefix:
            os.environ["VIRTUAL_ENV"] = sys.prefix

    display_failed = False
    _last_traceback: list[str] | None = None

    def init_environment(self) -> None:
        """Ask programs started from here for colours, and not to open a pager."""
        os.environ.update(TERM="xterm-color", CLICOLOR="1", FORCE_COLOR="1", CLICOLOR_FORCE="1")
        os.environ.update(PAGER="cat", GIT_PAGER="cat")

    def init_hooks(self) -> None:
        super().init_hooks()
        as_hook = cast("Callable[[Any], Any]", page.as_hook)  # pyright: ignore[reportUnknownMemberType]
        self.set_hook("show_in_pager", as_hook(self.show_in_pager_of_frontend), 99)

    def init_magics(self) -> None:
        super().init_magics()
        self.register_magics(attach.KernelMagics)

    def init_data_pub(self) -> None:
        self.data_pub = EngineDataPublisher(self)

    @property
    def engine_facts(self) -> dict[str, Any]:
        """What the metadata of every message says."""
        return {"engine": self.bridge.engine_uuid}

    @property
    def engine_metadata(self) -> str:
        """`engine_facts` as JSON."""
        return to_json(self.engine_facts)

    def show_in_pager_of_frontend(
        self, text: Any, start: int = 0, screen_lines: int = 0, pager_cmd: str | None = None
    ) -> None:
        data = cast("Any", text) if isinstance(text, dict) else {"text/plain": text}
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
                frames: Any = traceback.extract_tb(tb)
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
