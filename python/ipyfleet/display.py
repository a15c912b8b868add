"""Showing outputs of engines here: text, plots, results, progress.

The labels are those that users of IPython Parallel know: ``[stdout:0]``, ``[output:1]``.
"""

# IPython has hardly any type hints.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedFunctionDecorator=false
# pyright: reportMissingTypeStubs=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from . import error

if TYPE_CHECKING:
    from .asyncresult import AsyncResult

__all__ = ["colored", "display_outputs", "noninteractive", "progress", "shell", "stream_output"]

GROUPINGS = ("type", "engine", "order")
_STREAM_PERIOD_S = 0.05


def shell() -> Any:
    """Return the IPython shell that this process runs, or None."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()


def in_kernel() -> bool:
    """Tell whether this is the kernel of a notebook or the like, which can show widgets."""
    return getattr(shell(), "kernel", None) is not None


def noninteractive() -> bool:
    """Tell whether the user wants no progress bars and no streaming (``$IPP_NONINTERACTIVE``)."""
    return os.environ.get("IPP_NONINTERACTIVE", "") not in ("", "0")


def colored(text: str) -> str:
    """Return text in red where the terminal of IPython shows colours."""
    colors = str(getattr(shell(), "colors", "nocolor")).lower()
    return text if colors == "nocolor" else f"\x1b[31m{text}\x1b[0m"


# ---- progress -----------------------------------------------------------------------------------


class TextProgress:
    """Progress as a line of text, for when tqdm is not installed."""

    def __init__(self, total: int, unit: str, desc: str, file: TextIO, initial: int = 0) -> None:
        self.total = total
        self.n = initial
        self._unit = unit
        self._desc = desc
        self._file = file
        self._shown = -1
        self.update(0)

    def update(self, n: int = 1) -> None:
        """Count so many more."""
        self.n += n
        if self.n != self._shown:
            self._shown = self.n
            desc = f"{self._desc}: " if self._desc else ""
            self._file.write(f"\r{desc}{self.n}/{self.total} {self._unit}")
            self._file.flush()

    def close(self) -> None:
        """End the line."""
        self._file.write("\n")
        self._file.flush()


def progress(
    total: int, *, unit: str, desc: str = "", initial: int = 0, widget: bool | None = None
) -> Any:
    """Return a progress bar with the interface of tqdm.

    Parameters
    ----------
    total, unit, desc, initial
        As in tqdm.
    widget
        Whether it is a widget of a notebook; None means if this is one.
    """
    if widget is None:
        widget = False
        if in_kernel():
            widget = importlib.util.find_spec("ipywidgets") is not None
    tqdm: Any
    try:
        if widget:
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
    except ImportError:
        return TextProgress(total, unit, desc, sys.stdout, initial)
    options = {} if widget else {"file": sys.stdout}
    return tqdm(total=total, unit=unit, desc=desc, initial=initial, **options)


# ---- outputs ------------------------------------------------------------------------------------


class StreamPrinter:
    """Prints parts of streams of several engines, with a label where another one begins."""

    def __init__(self) -> None:
        self._last = ""
        self._at_line_start = True

    def show(self, text: str, label: str = "", file: TextIO | None = None) -> None:
        """Print text as it is, and its label unless the text before had the same."""
        if not text:
            return
        before = ""
        if label and label != self._last:
            before = f"{label} \n" if self._at_line_start else f"\n{label} \n"
            self._last = label
        self._at_line_start = text.endswith("\n")
        print(f"{before}{text}", end="", file=file or sys.stdout)


def _show_label(engine_id: Any) -> None:
    from IPython.display import display_pretty

    display_pretty(f"[output:{engine_id}]", raw=True)


def _show_plot(content: dict[str, Any], engine_id: Any) -> None:
    ip = shell()
    if ip is not None:
        metadata = {**(content.get("metadata") or {}), "engine": engine_id}
        ip.display_pub.publish(data=content["data"], metadata=metadata)


def _show_plots(outputs: Sequence[dict[str, Any]], engine_id: Any) -> None:
    if outputs:
        _show_label(engine_id)
    for content in outputs:
        _show_plot(content, engine_id)


def show_value(value: Any) -> None:
    """Show a value as IPython shows the one of a cell."""
    from IPython import display

    show: Any = display.display
    show(value)


class _Outputs:
    """What one engine has put out."""

    def __init__(self, metadata: Any, value: Any, result_only: bool) -> None:
        self.engine_id = metadata["engine_id"]
        self.stdout = "" if result_only else metadata["stdout"]
        self.stderr = "" if result_only else metadata["stderr"]
        self.plots = [] if result_only else metadata["outputs"]
        self.has_value = metadata["execute_result"] is not None
        self.value = value


def display_outputs(result: AsyncResult, groupby: str, result_only: bool) -> None:
    """Show everything that the calls of a result have put out; see `AsyncResult`."""
    if groupby not in GROUPINGS:
        raise ValueError(f"groupby is one of {GROUPINGS}, not {groupby!r}")
    if not result.ready():
        raise error.TimeoutError("Result not ready.")
    result.wait_for_output()
    printer = StreamPrinter()
    values = result.get(return_exceptions=True)
    if result.single_result:
        only = _Outputs(result.metadata, values, result_only)
        printer.show(only.stdout)
        printer.show(only.stderr, file=sys.stderr)
        if shell() is not None:
            for content in only.plots:
                _show_plot(content, only.engine_id)
            if only.has_value:
                show_value(only.value)
        return
    engines = [
        _Outputs(metadata, value, result_only)
        for metadata, value in zip(result.metadata, values, strict=False)
    ]
    if groupby == "engine":
        for each in engines:
            _show_engine(each, printer)
        return
    for each in engines:
        printer.show(each.stdout, f"[stdout:{each.engine_id}]")
    for each in engines:
        printer.show(each.stderr, f"[stderr:{each.engine_id}]", sys.stderr)
    if shell() is None:
        return
    if groupby == "type":
        for each in engines:
            _show_plots(each.plots, each.engine_id)
    else:
        for row in range(max((len(each.plots) for each in engines), default=0)):
            for each in engines:
                _show_plots(each.plots[row : row + 1], each.engine_id)
    for each in engines:
        if each.has_value:
            show_value(each.value)


def _show_engine(outputs: _Outputs, printer: StreamPrinter) -> None:
    printer.show(outputs.stdout, f"[stdout:{outputs.engine_id}]")
    printer.show(outputs.stderr, f"[stderr:{outputs.engine_id}]", sys.stderr)
    if shell() is None:
        return
    if outputs.plots or outputs.has_value:
        _show_label(outputs.engine_id)
    for content in outputs.plots:
        _show_plot(content, outputs.engine_id)
    if outputs.has_value:
        show_value(outputs.value)


# ---- streaming ----------------------------------------------------------------------------------


class _Streamer:
    """Shows outputs of running calls as they come."""

    def __init__(self, result: AsyncResult) -> None:
        self._result = result
        self._seen = [0] * len(result.requests)
        self._printer = StreamPrinter()
        self._texts: dict[str, str] = {}
        self._errors = 0

    def show_new(self) -> None:
        """Show what has come since the last time."""
        for index, request in enumerate(self._result.requests):
            items, _ = request.outputs(self._seen[index])
            self._seen[index] += len(items)
            for kind, text, _ in items:
                self._show(index, kind, json.loads(text))

    def _show(self, index: int, kind: str, content: dict[str, Any]) -> None:
        engine_id = self._result.engine_of(index)
        if kind == "stream":
            self._show_stream(index, engine_id, content["name"], content["text"])
        elif kind == "error":
            self._show_error(engine_id, content)
        elif kind == "execute_result":
            self._show_result(index, content)
        elif kind == "display_data" and shell() is not None:
            _show_label(engine_id)
            _show_plot(content, engine_id)

    def _show_stream(self, index: int, engine_id: Any, name: str, text: str) -> None:
        label = f"[{name}:{engine_id}]"
        if not in_kernel():
            self._printer.show(text, label, getattr(sys, name, sys.stdout))
            return
        # In a notebook each stream of each engine has one place, which grows.
        from IPython.display import publish_display_data

        place = f"{self._result.requests[index].msg_id}-{name}"
        update = place in self._texts
        self._texts[place] = self._texts.get(place, "") + text
        data = {"text/plain": f"{label} {self._texts[place]}"}
        publish_display_data(data, transient={"display_id": place}, update=update)

    def _show_error(self, engine_id: Any, content: dict[str, Any]) -> None:
        content.setdefault("engine_info", {"engine_id": engine_id, "method": "execute"})
        failure = self._result.client.connection.unwrap_exception(content)
        self._errors += 1
        whole = self._errors <= error.CompositeError.tb_limit
        text = "\n".join(failure.render_traceback()) if whole else str(failure)
        print(text, file=sys.stderr)

    def _show_result(self, index: int, content: dict[str, Any]) -> None:
        if shell() is None:
            return
        from .metadata import ExecuteReply

        metadata = self._result.metadata_of(index)
        metadata["execute_result"] = content
        metadata["engine_id"] = self._result.engine_of(index)
        show_value(ExecuteReply(metadata["msg_id"], content, metadata))


@contextmanager
def stream_output(result: AsyncResult) -> Generator[None]:
    """Show outputs of a result as they come, in the body of a ``with`` statement."""
    streamer = _Streamer(result)
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(_STREAM_PERIOD_S):
            streamer.show_new()

    # IPython sends what a thread prints to the cell that was running when the thread began.
    thread = threading.Thread(target=run, name="ipyfleet-output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        streamer.show_new()
