"""The magics ``%px``, ``%%px``, ``%autopx``, ``%pxresult`` and ``%pxconfig`` of IPython.

The first client of a session makes them work on all engines; ``view.activate(suffix)`` does so for
other views. ``%load_ext ipyfleet`` makes them connect to the default cluster when they are used.
"""

# IPython has hardly any type hints.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedFunctionDecorator=false
# pyright: reportMissingTypeStubs=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

import ast
import re
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from . import error
from .display import GROUPINGS, noninteractive, shell

if TYPE_CHECKING:
    from .asyncresult import AsyncResult
    from .directview import DirectView

__all__ = ["ParallelMagics", "activate", "load_ipython_extension", "unload_ipython_extension"]

# What engines have printed may come a little later than their replies.
_OUTPUT_WAIT_S = 1.0
_TARGETS_SHOWN_MAX = 10
_Magic = Callable[..., Any]


def _switch(*names: str, dest: str, const: Any, help: str, default: Any = None) -> Any:
    action = "store_const"
    return argument(*names, dest=dest, action=action, const=const, default=default, help=help)


def _group(name: str, const: str) -> Any:
    help = f"as --group-outputs={const}"
    return _switch(name, dest="groupby", const=const, default=GROUPINGS[0], help=help)


def _decorate(f: _Magic, arguments: list[Any]) -> _Magic:
    # The one that is applied last comes first in the help.
    for each in reversed(arguments):
        f = each(f)
    return f


def execution_arguments(f: _Magic) -> _Magic:
    """Add the options of ``%%px`` and ``%pxconfig`` that say where and how code runs."""
    return _decorate(
        f,
        [
            _switch("-b", "--block", dest="block", const=True, help="wait for the results"),
            _switch("-a", "--noblock", dest="block", const=False, help="do not wait"),
            _switch("--stream", dest="stream", const=True, help="show output as it comes"),
            _switch("--no-stream", dest="stream", const=False, help="show output at the end"),
            argument("-t", "--targets", type=str, help="the engines: 0, 1:3, [0,2], all"),
            _switch("--verbose", dest="set_verbose", const=True, help="say what runs where"),
            _switch("--no-verbose", dest="set_verbose", const=False, help="say nothing"),
            argument(
                "--progress-after",
                dest="progress_after_seconds",
                type=float,
                help="seconds until a progress bar is shown; 0: at once, -1: never",
            ),
            argument(
                "--signal-on-interrupt",
                dest="signal_on_interrupt",
                type=str,
                help="the signal that engines get on Ctrl-C, by name or number; 0 means none",
            ),
        ],
    )


def output_arguments(f: _Magic) -> _Magic:
    """Add the options of ``%%px`` and ``%pxresult`` that say how results are shown."""
    return _decorate(
        f,
        [
            _group("-r", "order"),
            _group("-e", "engine"),
            argument(
                "--group-outputs",
                dest="groupby",
                choices=GROUPINGS,
                default=GROUPINGS[0],
                help="type: all text, then all plots; engine: one engine after the other; order:"
                " the first plots of all engines, then the second ones",
            ),
            argument(
                "-o", "--out", dest="save_name", type=str, help="a variable for the AsyncResult"
            ),
        ],
    )


class ParallelMagics(Magics):
    """The magics of one view.

    Parameters
    ----------
    shell
        The IPython shell.
    view
        A view, or a function that makes one at the first use.
    suffix
        What is appended to the names of the magics.
    """

    shell: Any
    registered = True
    verbose = False
    progress_after_seconds = 2.0
    signal_on_interrupt: str | int | None = "SIGINT"
    last_result: AsyncResult | None = None

    def __init__(
        self, shell: Any, view: DirectView | Callable[[], DirectView], suffix: str = ""
    ) -> None:
        self._view = view
        self.suffix = suffix
        self.stream_output = not noninteractive()
        self._autopx = False
        self._originals: tuple[Any, Any] = (None, None)
        self._cell = ""
        self.magics = {
            "cell": {f"px{suffix}": self.cell_px},
            "line": {
                f"px{suffix}": self.px,
                f"pxresult{suffix}": self.result,
                f"pxconfig{suffix}": self.pxconfig,
                f"autopx{suffix}": self.autopx,
            },
        }
        if not suffix:
            self.magics["line"]["result"] = self.result
        super().__init__(shell=shell)

    @property
    def view(self) -> DirectView:
        """The view whose engines run the code."""
        if callable(self._view):
            self._view = self._view()
        return self._view

    # ---- options ------------------------------------------------------------------------------

    def _read_targets(self, text: str) -> Any:
        if text.strip().strip("'\"").lower() == "all":
            return "all"
        if re.fullmatch(r"\s*\[?\s*-?\d*\s*:\s*-?\d*\s*(:\s*-?\d*\s*)?\]?\s*", text):
            bounds = [int(part) if part.strip() else None for part in text.strip("[] ").split(":")]
            return self.view.client.ids[slice(*bounds)]
        try:
            targets = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            targets = self.shell.ev(text)
        return list(targets) if isinstance(targets, tuple | range) else targets

    @staticmethod
    def _read_signal(text: str) -> str | int | None:
        if not text.isdigit():
            return text
        return int(text)

    @magic_arguments()
    @execution_arguments
    def pxconfig(self, line: str) -> None:
        """Set what the magics do unless they are told otherwise."""
        args = parse_argstring(self.pxconfig, line)
        if args.targets:
            self.view.targets = self._read_targets(args.targets)
        if args.block is not None:
            self.view.block = args.block
        if args.set_verbose is not None:
            self.verbose = args.set_verbose
        if args.stream is not None:
            self.stream_output = args.stream
        if args.progress_after_seconds is not None:
            self.progress_after_seconds = args.progress_after_seconds
        if args.signal_on_interrupt is not None:
            self.signal_on_interrupt = self._read_signal(args.signal_on_interrupt)

    # ---- running ------------------------------------------------------------------------------

    @magic_arguments()
    @output_arguments
    def result(self, line: str = "") -> None:
        """Show the results of the last ``%px``, for when it did not wait for them."""
        args = parse_argstring(self.result, line)
        if self.last_result is None:
            raise UsageError("%pxresult shows the results of the last %px, and there was none yet")
        if args.save_name:
            self.shell.user_ns[args.save_name] = self.last_result
            return
        try:
            self.last_result.get()
        finally:
            if self.last_result.ready():
                self.last_result.display_outputs(groupby=args.groupby)

    @no_var_expand
    def px(self, line: str = "") -> AsyncResult | None:
        """Run a line on the engines.

        Examples
        --------
        In [1]: %px import os; print(os.getpid())
        [stdout:0]
        4711
        """
        return self.parallel_execute(line)

    @magic_arguments()
    @execution_arguments
    @output_arguments
    @_switch("--local", dest="local", const=True, help="run the cell here too")
    def cell_px(self, line: str = "", cell: str | None = None) -> AsyncResult | None:
        """Run the cell on the engines."""
        args = parse_argstring(self.cell_px, line)
        view = self.view
        saved = view.targets
        if args.targets:
            view.targets = self._read_targets(args.targets)
        signal = args.signal_on_interrupt
        block = view.block if args.block is None else args.block
        try:
            result = self._start(cell or "", args.save_name, block)
        finally:
            view.targets = saved
        if args.local:
            self.shell.run_cell(cell)
        if not block:
            return result
        self._finish(
            result,
            args.groupby,
            self.stream_output if args.stream is None else args.stream,
            args.progress_after_seconds,
            self.signal_on_interrupt if signal is None else self._read_signal(signal),
        )
        return None

    def parallel_execute(
        self,
        cell: str,
        block: bool | None = None,
        groupby: str = "type",
        save_name: str | None = None,
        stream_output: bool | None = None,
        progress_after: float | None = None,
        signal_on_interrupt: str | int | None = None,
    ) -> AsyncResult | None:
        """Run source text on the engines, and show results if it waits for them.

        Parameters
        ----------
        cell
            The text.
        block, groupby, save_name, stream_output, progress_after, signal_on_interrupt
            As the options of ``%%px``.
        """
        block = self.view.block if block is None else block
        result = self._start(cell, save_name, block)
        if not block:
            return result
        signal = self.signal_on_interrupt if signal_on_interrupt is None else signal_on_interrupt
        stream = self.stream_output if stream_output is None else stream_output
        self._finish(result, groupby, stream, progress_after, signal)
        return None

    def _start(self, cell: str, save_name: str | None, block: bool) -> AsyncResult:
        view = self.view
        if self.verbose:
            targets = view.targets
            if isinstance(targets, list) and len(targets) > _TARGETS_SHOWN_MAX:
                shown = f"{str(targets[:4])[:-1]}, ..., {str(targets[-4:])[1:]}"
            else:
                shown = str(targets)
            kind = "Parallel" if block else "Async parallel"
            print(f"{kind} execution on engine(s): {shown}")
        result = view.execute(cell, silent=False, block=False)
        result.fname = "%px"
        self.last_result = result
        if save_name:
            self.shell.user_ns[save_name] = result
        return result

    def _finish(
        self,
        result: AsyncResult,
        groupby: str,
        stream: bool,
        progress_after: float | None,
        signal: str | int | None,
    ) -> None:
        try:
            with result.stream_output() if stream else nullcontext():
                self._await(result, progress_after)
                self._raise_errors(result, stream)
        except KeyboardInterrupt:
            if signal is None:
                raise
            print(f"Keyboard interrupt: sending {signal} to the engines", file=sys.stderr)
            self.view.client.send_signal(signal, targets=result.targets, block=True)
        finally:
            if not stream and result.ready():
                result.wait_for_output(_OUTPUT_WAIT_S)
                result.display_outputs(groupby)

    def _await(self, result: AsyncResult, progress_after: float | None) -> None:
        patience = self.progress_after_seconds if progress_after is None else progress_after
        if patience < 0:
            result.wait()
        else:
            end = time.monotonic() + patience
            if not result.wait(patience):
                result.wait_interactive()
            elif result.wait_for_output(max(0.0, end - time.monotonic())):
                return
        result.wait_for_output(_OUTPUT_WAIT_S)

    @staticmethod
    def _raise_errors(result: AsyncResult, stream: bool) -> None:
        try:
            result.get()
        except error.CompositeError as failure:
            if stream and result.wait_for_output(0):
                raise error.AlreadyDisplayedError(failure) from None
            raise

    # ---- %autopx ------------------------------------------------------------------------------

    def autopx(self, line: str = "") -> None:
        """Begin to run everything that is typed on the engines; the next ``%autopx`` ends it."""
        if self._autopx:
            self._disable_autopx()
        else:
            self._enable_autopx()

    def _enable_autopx(self) -> None:
        self._originals = (self.shell.run_cell, self.shell.run_ast_nodes)
        self.shell.run_cell = self.pxrun_cell
        self.shell.run_ast_nodes = self.pxrun_nodes
        self._autopx = True
        print("%autopx enabled")

    def _disable_autopx(self) -> None:
        if self._autopx:
            self.shell.run_cell, self.shell.run_ast_nodes = self._originals
            self._autopx = False
            print("%autopx disabled")

    def pxrun_cell(self, raw_cell: str, *args: Any, **kwargs: Any) -> Any:
        """Stand for ``run_cell`` of the shell, and remember the text for `pxrun_nodes`."""
        self._cell = raw_cell
        return self._originals[0](raw_cell, *args, **kwargs)

    async def pxrun_nodes(self, *args: Any, **kwargs: Any) -> bool:
        """Stand for ``run_ast_nodes`` of the shell; returns whether there was an error."""
        if re.match(rf"\s*%autopx{re.escape(self.suffix)}\b", self._cell):
            self._disable_autopx()
            return False
        try:
            self.parallel_execute(self._cell)
        except Exception:
            self.shell.showtraceback()
            return True
        return False


# ---- making them known --------------------------------------------------------------------------


def activate(view: DirectView | Callable[[], DirectView], suffix: str = "") -> None:
    """Register the magics of a view with the IPython that runs here."""
    ip = shell()
    if ip is None:
        warnings.warn("the magics %px and so on work in IPython only", stacklevel=3)
        return
    ip.magics_manager.register(ParallelMagics(ip, view, suffix))


def load_ipython_extension(ip: Any) -> None:
    """Register magics that connect to the default cluster at their first use."""

    def connect() -> DirectView:
        from .client import Client

        return Client().direct_view("all", block=True)

    ip.magics_manager.register(ParallelMagics(ip, connect))


def unload_ipython_extension(ip: Any) -> None:
    """Remove the magics."""
    for kind, names in (("line", ("px", "pxresult", "pxconfig", "autopx", "result")),):
        for name in names:
            ip.magics_manager.magics[kind].pop(name, None)
    ip.magics_manager.magics["cell"].pop("px", None)
