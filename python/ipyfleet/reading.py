"""What the reply to a request says: a value, or an exception."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NoReturn

from . import error, serialize
from .metadata import ExecuteReply, Metadata

if TYPE_CHECKING:
    from ._native import Request
    from .connection import Connection

__all__ = [
    "EngineLostError",
    "ReadRequest",
    "ResultFreedError",
    "TaskCancelled",
    "raise_composite",
    "read_reply",
]


class EngineLostError(error.RemoteError, error.EngineError):
    """The engine died, or was unregistered, before it answered."""


class TaskCancelled(error.TaskAborted, CancelledError):  # noqa: N818 - beside TaskAborted
    """The call was stopped by `AsyncResult.cancel`."""


class ResultFreedError(RuntimeError):
    """The result was read and let go of, because `AsyncResult.keep_results` is False."""


class ReadRequest:
    """What is left of a request whose result was read and let go of.

    Has the attributes of a request that take no memory; the others raise `ResultFreedError`.
    """

    __slots__ = ("msg_id", "received", "status", "submitted")

    done = output_done = True

    def __init__(self, request: Request) -> None:
        self.msg_id = request.msg_id
        self.status = request.status
        self.submitted = request.submitted
        self.received = request.received

    def wait(self, timeout: float | None = None) -> bool:
        """Return True."""
        return True

    def __getattr__(self, name: str) -> NoReturn:
        raise ResultFreedError(
            f"the result of call {self.msg_id} was read and let go of: keep_results is False"
        )


def read_reply(
    connection: Connection,
    request: Request,
    metadata: Callable[[], Metadata],
    cancelled: bool = False,
) -> Any:
    """Return the value in the reply to a request, or the exception that it stands for.

    Parameters
    ----------
    connection
        Knows the engines.
    request
        One that is done.
    metadata
        Tells how the call ran, whenever it is asked.
    cancelled
        Whether the call was stopped from here; then a failure is a `TaskCancelled`.
    """
    status = request.status
    if status == "ok":
        if request.type == "apply_request":
            return serialize.deserialize_object(request.buffers())[0]
        return ExecuteReply(request.msg_id, json.loads(request.content), metadata)
    if cancelled:
        return TaskCancelled(request.msg_id)
    if status == "aborted":
        return error.TaskAborted(request.msg_id)
    name, text = request.local_error
    if name == "EngineError":
        return EngineLostError(name, text, f"{name}: {text}")
    if name:
        return error.KernelError(text)
    return connection.unwrap_exception(json.loads(request.content))


def raise_composite(failures: Iterable[Any], name: str) -> NoReturn:
    """Raise the exceptions of one or several engines together.

    Raises
    ------
    CompositeError
        Always; `name` is that of what was called.
    """
    wrapped = [
        failure
        if isinstance(failure, error.RemoteError)
        else error.RemoteError(type(failure).__name__, str(failure), None)
        for failure in failures
    ]
    error.collect_exceptions(wrapped, name)
    raise AssertionError("there was no exception to raise")
