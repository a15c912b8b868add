"""Exceptions of ipyfleet and their form on the wire.

Errors cross the network as text only: class name, message, rendered traceback and a small
dictionary that says which engine they come from. `wrap_exception` makes that dictionary,
`unwrap_exception` turns it back into a `RemoteError`. The class names are part of the wire format
(a scheduler recognises ``UnmetDependency`` by its name), so none of them may be renamed.
"""

from __future__ import annotations

import builtins
import sys
import traceback as _traceback
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

EngineInfo: TypeAlias = Mapping[str, Any]
ErrorEntry: TypeAlias = tuple[str, Any, "str | None", EngineInfo]
_Results = TypeVar("_Results", bound="Iterable[Any] | Mapping[Any, Any]")

NO_TRACEBACK = "No traceback available"


class IPythonError(Exception):
    """Root of all errors defined here."""


class KernelError(IPythonError):
    """Something went wrong between client, controller and engine."""


class EngineError(KernelError):
    """An engine died or could not be started."""


class SerializationError(KernelError):
    """An object could not be packed for the wire or unpacked from it."""


class NoEnginesRegistered(KernelError):  # noqa: N818 - the name is wire format
    """The operation needs engines and there are none."""

    def __str__(self) -> str:
        return (
            "No engine is registered, and this operation needs at least one."
            " Client.wait_for_engines(n) blocks until n engines are there."
        )


class TaskAborted(KernelError):  # noqa: N818
    """The task was aborted before it ran."""


class TaskTimeout(KernelError):  # noqa: N818
    """The task waited in the scheduler for longer than its timeout."""


class TaskRejectError(KernelError):
    """Raised by a task to say that this engine cannot run it."""


class UnmetDependency(KernelError):  # noqa: N818
    """A functional dependency is not met here; the scheduler tries another engine."""


class ImpossibleDependency(UnmetDependency):
    """No engine can ever meet the dependencies of the task."""


class DependencyTimeout(ImpossibleDependency):
    """The dependencies of the task were not met in time."""


class InvalidDependency(ImpossibleDependency):
    """The task depends on something the scheduler has never heard of."""


# Client code catches `error.TimeoutError`; it has to be the very class that the language raises.
TimeoutError = builtins.TimeoutError


def _origin(engine_info: EngineInfo | None) -> str:
    """Return the bracketed label that tells where an error was raised."""
    if not engine_info:
        return "[Engine Exception]"
    return f"[{engine_info.get('engine_id', '?')}:{engine_info.get('method', '?')}]"


class RemoteError(KernelError):
    """An exception that was raised somewhere else.

    Parameters
    ----------
    ename
        Name of the remote exception class.
    evalue
        Text of the remote exception.
    traceback
        Remote traceback, lines joined by newlines; may hold ANSI colours.
    engine_info
        Empty, or a mapping with at least ``engine_id`` and ``method``.
    """

    ename: str | None = None
    evalue: Any = None
    traceback: str | None = None
    engine_info: EngineInfo | None = None

    def __init__(
        self,
        ename: str,
        evalue: Any,
        traceback: str | None,
        engine_info: EngineInfo | None = None,
    ) -> None:
        super().__init__(ename, evalue)
        self.ename = ename
        self.evalue = evalue
        self.traceback = traceback
        self.engine_info = engine_info or {}

    def __reduce__(self) -> tuple[Any, ...]:
        # `args` has two items but the constructor needs three, so the default would not unpickle.
        return type(self), (self.ename, self.evalue, self.traceback, self.engine_info)

    _get_engine_str = staticmethod(_origin)

    def __repr__(self) -> str:
        where = (self.engine_info or {}).get("engine_id", " ")
        return f"<{type(self).__name__}[{where}]:{self.ename}({self.evalue})>"

    def __str__(self) -> str:
        return f"{_origin(self.engine_info)} {self.ename}: {self.evalue}"

    def render_traceback(self) -> list[str]:
        """Return the lines to show: a label for the engine, then the remote traceback."""
        return [_origin(self.engine_info), *(self.traceback or NO_TRACEBACK).splitlines()]

    def _render_traceback_(self) -> list[str]:
        """Hook of IPython: shown instead of the local traceback."""
        return self.render_traceback()

    def print_traceback(self, excid: int | None = None) -> None:
        """Print the remote traceback (`excid` only counts for `CompositeError`)."""
        print("\n".join(self.render_traceback()))


class CompositeError(RemoteError):
    """Several remote errors of one request.

    Parameters
    ----------
    message
        One line that says what failed.
    elist
        One ``(ename, evalue, traceback, engine_info)`` tuple for each error.
    """

    tb_limit = 4  # more than a handful of tracebacks hides the first one

    def __init__(self, message: str, elist: Iterable[ErrorEntry]) -> None:
        entries = list(elist)
        KernelError.__init__(self, message, entries)
        self.msg = message
        self.elist = entries
        self.args = tuple(entry[0] for entry in entries)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.elist)

    def _entry(self, excid: int) -> ErrorEntry:
        try:
            return self.elist[excid]
        except IndexError:
            raise IndexError(
                f"there is no exception {excid}: this error holds {len(self.elist)} of them"
            ) from None

    @staticmethod
    def _lines(entry: ErrorEntry) -> list[str]:
        _, _, trace, info = entry
        return [f"{_origin(info)}:", *(trace or NO_TRACEBACK).splitlines()]

    def __str__(self) -> str:
        lines = [str(self.msg)]
        for ename, evalue, _, info in self.elist[: self.tb_limit]:
            lines.append(f"{_origin(info)}{ename}: {evalue}")
        hidden = len(self.elist) - self.tb_limit
        if hidden > 0:
            lines.append(f".... {hidden} more exceptions ...")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"CompositeError({len(self.elist)})"

    def render_traceback(self, excid: int | None = None) -> list[str]:
        """Return the lines of one traceback, or of the first `tb_limit` of them."""
        if excid is not None:
            return self._lines(self._entry(excid))
        lines: list[str] = []
        for entry in self.elist[: self.tb_limit]:
            lines.extend([*self._lines(entry), ""])
        hidden = len(self.elist) - self.tb_limit
        if hidden > 0:
            lines.append(f"... {hidden} more exceptions ...")
        return lines

    def print_traceback(self, excid: int | None = None) -> None:
        """Print one traceback, or the first `tb_limit` of them."""
        print("\n".join(self.render_traceback(excid)))

    def raise_exception(self, excid: int = 0) -> NoReturn:
        """Raise the error with number `excid` as a `RemoteError`."""
        raise RemoteError(*self._entry(excid))


class AlreadyDisplayedError(RemoteError):
    """Stands for errors that were shown while output was streaming; it renders as one line."""

    def __init__(self, original_error: CompositeError) -> None:
        self.original_error = original_error
        self.n = len(original_error.elist)
        super().__init__(type(original_error).__name__, f"{self.n} errors", None)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.original_error,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.n} errors)>"

    def __str__(self) -> str:
        return f"{self.n} errors"

    def render_traceback(self) -> list[str]:
        """Return the single line that is left to show."""
        return [str(self)]


def collect_exceptions(results: _Results, method: str = "unspecified") -> _Results:
    """Return `results` unchanged, or raise one `CompositeError` for the errors among them.

    Parameters
    ----------
    results
        Results of several engines, as a sequence or as a mapping.
    method
        What was attempted, for the message.
    """
    everything = cast("Any", results)
    values: Iterable[Any] = everything.values() if isinstance(results, Mapping) else everything
    entries: list[ErrorEntry] = []
    for value in values:
        if isinstance(value, CompositeError):
            entries.extend(value.elist)
        elif isinstance(value, RemoteError):
            if isinstance(value.evalue, CompositeError):
                entries.extend(value.evalue.elist)
            else:
                entry = (str(value.ename), value.evalue, value.traceback, value.engine_info or {})
                entries.append(entry)
    if entries:
        raise CompositeError(f"one or more exceptions raised in: {method}", entries)
    return cast("_Results", everything)


def exception_text(exc: BaseException) -> str:
    """Return ``str(exc)``, or a description if the exception cannot say what it means."""
    try:
        return str(exc)
    except Exception as failure:
        return f"<{type(exc).__name__}: its text is not available, {type(failure).__name__} raised>"


def wrap_exception(
    engine_info: EngineInfo | None = None, exc: BaseException | None = None
) -> dict[str, Any]:
    """Return the error content of a reply for an exception.

    Parameters
    ----------
    engine_info
        ``engine_uuid``, ``engine_id`` and ``method`` of the engine, or nothing.
    exc
        The exception; by default the one being handled.

    Returns
    -------
    dict
        Keys ``status``, ``traceback`` (list of str), ``ename``, ``evalue``, ``engine_info``.
    """
    if exc is None:
        exc = sys.exc_info()[1]
    if exc is None:
        raise ValueError("wrap_exception needs an exception and none is being handled")
    try:
        lines = _traceback.format_exception(type(exc), exc, exc.__traceback__)
    except Exception:
        # A hostile __str__ or __repr__ can break the formatter too; the reply must still go out.
        lines = [f"{type(exc).__name__}: {exception_text(exc)}"]
    return {
        "status": "error",
        "traceback": lines,
        "ename": type(exc).__name__,
        "evalue": exception_text(exc),
        "engine_info": dict(engine_info or {}),
    }


def unwrap_exception(content: Mapping[str, Any]) -> RemoteError:
    """Turn the error content of a reply into a `RemoteError` (returned, not raised)."""
    return RemoteError(
        content["ename"],
        content["evalue"],
        "\n".join(content.get("traceback") or ()),
        content.get("engine_info") or {},
    )
