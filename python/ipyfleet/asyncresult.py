"""Results of calls that have not come yet, and what is known about how they ran."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

from . import error, serialize
from ._native import Completions, Request, count_done, parse_date, wait_all

if TYPE_CHECKING:
    from .client import Client

__all__ = ["AsyncMapResult", "AsyncResult", "EngineLostError", "ExecuteReply", "Metadata"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_REWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")

Seconds = float


def _to_datetime(microseconds: int | None) -> datetime | None:
    return None if not microseconds else _EPOCH + timedelta(microseconds=microseconds)


def _date_in(fields: dict[str, Any], key: str) -> datetime | None:
    text = fields.get(key)
    return _to_datetime(parse_date(text)) if isinstance(text, str) else None


def _to_timeout(timeout: Seconds | None) -> Seconds | None:
    return None if timeout is None or timeout < 0 else timeout


class EngineLostError(error.RemoteError, error.EngineError):
    """The engine died, or was unregistered, before it answered."""


class Metadata(dict[str, Any]):
    """How one call ran. Keys are attributes too; there are no others than these.

    ``msg_id``, ``submitted``, ``started``, ``completed``, ``received`` (aware datetimes, UTC),
    ``engine_uuid``, ``engine_id``, ``status`` ("ok", "error", "aborted"), ``label``,
    ``execute_input``, ``execute_result``, ``error``, ``stdout``, ``stderr``, ``outputs`` (contents
    of ``display_data`` messages). What is not known yet is None, or empty for the last three.
    """

    KEYS = (
        *("msg_id", "submitted", "started", "completed", "received", "engine_uuid", "engine_id"),
        *("status", "label", "execute_input", "execute_result", "error", "stdout", "stderr"),
        "outputs",
    )

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(self.KEYS))
        self.update(stdout="", stderr="", outputs=[])

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self:
            raise KeyError(key)
        super().__setitem__(key, value)


def _add_outputs(metadata: Metadata, request: Request) -> None:
    items, truncated = request.outputs()
    for kind, text in items:
        content = json.loads(text)
        if kind == "stream":
            name = content.get("name")
            if name in ("stdout", "stderr"):
                metadata[name] += content.get("text", "")
        elif kind == "display_data":
            metadata["outputs"].append(content)
        elif kind == "execute_input":
            metadata["execute_input"] = content.get("code")
        elif kind in ("execute_result", "error"):
            metadata[kind] = content
    for name in ("stdout", "stderr"):
        # A progress bar that rewrites its line shows only what it wrote last.
        metadata[name] = _REWRITTEN.sub("", metadata[name])
    if truncated:
        metadata["stderr"] += "\n[more output was dropped by the client: there was too much]\n"


class ExecuteReply:
    """The result of executed source text.

    The keys of `Metadata` are attributes and items: ``reply.stdout``, ``reply["engine_id"]``.
    """

    def __init__(
        self, msg_id: str, content: dict[str, Any], read_metadata: Callable[[], Metadata]
    ) -> None:
        self.msg_id = msg_id
        self.execution_count: int | None = content.get("execution_count")
        self._read_metadata = read_metadata

    @property
    def metadata(self) -> Metadata:
        """What is known now; output may come after the reply."""
        return self._read_metadata()

    @property
    def data(self) -> dict[str, Any]:
        """The last expression's value by MIME type; empty if the request was silent."""
        result: dict[str, Any] = self.metadata["execute_result"] or {}
        return result.get("data", {})

    def __getitem__(self, key: str) -> Any:
        return self.metadata[key]

    def __getattr__(self, key: str) -> Any:
        if key in Metadata.KEYS:
            return self.metadata[key]
        raise AttributeError(key)

    def __repr__(self) -> str:
        text = self.data.get("text/plain", "")
        if len(text) > 32:
            text = f"{text[:29]}..."
        return f"<ExecuteReply[{self.execution_count}]: {text}>"


class AsyncResult:
    """The results of one call on one or several engines.

    Made by views. Results are unpickled when they are asked for, each once.

    Attributes
    ----------
    requests
        The handles of the C++ client, one for each engine or chunk.

    Notes
    -----
    Every key of `Metadata` is an attribute as well: ``ar.stdout``, ``ar.engine_id``. It is a list
    if the result is one, and may be read before the result is there.
    """

    def __init__(
        self,
        client: Client,
        requests: Sequence[Request],
        fname: str = "unknown",
        targets: Sequence[int] | None = None,
        single: bool = False,
        return_exceptions: bool = False,
    ) -> None:
        self._client = client
        self.requests = list(requests)
        self._fname = fname
        self._targets = None if targets is None else list(targets)
        self._single_result = single
        self._return_exceptions = return_exceptions
        self._ready = False
        self._values: dict[int, Any] = {}
        self._metadata: dict[int, Metadata] = {}

    # ---- waiting ------------------------------------------------------------------------------

    @property
    def msg_ids(self) -> list[str]:
        """The message id of each engine or chunk."""
        return [request.msg_id for request in self.requests]

    def wait(self, timeout: Seconds | None = -1) -> bool:
        """Wait until all results are there.

        Parameters
        ----------
        timeout
            Seconds; None or a negative number means no limit.

        Returns
        -------
        bool
            False if some results are missing when the time is over.
        """
        if not self._ready:
            self._ready = wait_all(self.requests, _to_timeout(timeout))
        return self._ready

    def ready(self) -> bool:
        """Tell whether all results are there."""
        if not self._ready:
            self._ready = count_done(self.requests) == len(self.requests)
        return self._ready

    done = ready

    def wait_for_output(self, timeout: Seconds | None = -1) -> bool:
        """Wait until all results and everything that was printed are there.

        Returns
        -------
        bool
            False if something is missing when the time is over.
        """
        return wait_all(self.requests, _to_timeout(timeout), output=True)

    def successful(self) -> bool:
        """Tell whether nothing was raised.

        Raises
        ------
        RuntimeError
            If the results are not there yet.
        """
        if not self.ready():
            raise RuntimeError("the result is not ready, so it is not known whether it succeeded")
        return all(request.status == "ok" for request in self.requests)

    # ---- results ------------------------------------------------------------------------------

    def get(self, timeout: Seconds | None = None, return_exceptions: bool | None = None) -> Any:
        """Return the result, or the list of results; wait for it if need be.

        Parameters
        ----------
        timeout
            Seconds; None or a negative number means no limit.
        return_exceptions
            Whether to return exceptions in the place of results instead of raising them.

        Raises
        ------
        TimeoutError
            If the results are not there in time.
        RemoteError
            If the call raised; for several engines a `CompositeError`, which is one too.
        TaskAborted
            If the call was aborted.
        """
        if not self.wait(timeout):
            raise error.TimeoutError("Result not ready.")
        if return_exceptions is None:
            return_exceptions = self._return_exceptions
        values = [self._value(index) for index in range(len(self.requests))]
        if not return_exceptions:
            self._raise_errors(values)
        return self._reconstruct(values)

    def result(self, timeout: Seconds | None = None) -> Any:
        """As `get`."""
        return self.get(timeout)

    @property
    def r(self) -> Any:
        """As ``get()``."""
        return self.get()

    def exception(self, timeout: Seconds | None = None) -> BaseException | None:
        """Return what `get` would raise, or None.

        Raises
        ------
        TimeoutError
            If the results are not there in time.
        """
        if not self.wait(timeout):
            raise error.TimeoutError("Result not ready.")
        try:
            self._raise_errors([self._value(index) for index in range(len(self.requests))])
        except error.KernelError as raised:
            return raised
        return None

    def get_dict(self, timeout: Seconds | None = -1) -> dict[int, Any]:
        """Return the results by engine id.

        Raises
        ------
        ValueError
            If an engine has more than one of the results.
        """
        values = self.get(timeout)
        if self._single_result:
            values = [values]
        by_engine: dict[int, Any] = {}
        for index, value in enumerate(values):
            engine_id = self._metadata_of(index)["engine_id"]
            if engine_id in by_engine:
                raise ValueError(f"engine {engine_id} has more than one of the results")
            by_engine[engine_id] = value
        return by_engine

    def _value(self, index: int) -> Any:
        """Return the result or the exception with this index, which must be there."""
        if index not in self._values:
            self._values[index] = self._read_value(index)
        return self._values[index]

    def _read_value(self, index: int) -> Any:
        request = self.requests[index]
        status = request.status
        if status == "ok":
            if request.type == "apply_request":
                return serialize.deserialize_object(request.buffers())[0]
            content = json.loads(request.content)
            return ExecuteReply(request.msg_id, content, lambda: self._metadata_of(index))
        if status == "aborted":
            return error.TaskAborted(request.msg_id)
        name, text = request.local_error
        if name == "EngineError":
            return EngineLostError(name, text, f"{name}: {text}")
        if name:
            return error.KernelError(text)
        return self._client.connection.unwrap_exception(json.loads(request.content))

    def _raise_errors(self, values: Sequence[Any]) -> None:
        """Raise the exceptions among values: as they are, or together for several engines."""
        failed = [
            value
            for value, request in zip(values, self.requests, strict=True)
            if request.status != "ok"
        ]
        if not failed:
            return
        if self._single_result:
            raise failed[0]
        self._raise_composite(failed)

    def _raise_composite(self, failed: Iterable[Any]) -> None:
        wrapped = [
            value
            if isinstance(value, error.RemoteError)
            else error.RemoteError(type(value).__name__, str(value), None)
            for value in failed
        ]
        error.collect_exceptions(wrapped, self._fname)

    def _reconstruct(self, values: list[Any]) -> Any:
        return values[0] if self._single_result else values

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            values = [self._metadata_of(index)[key] for index in range(len(self.requests))]
            return values[0] if self._single_result else values
        if not self.ready():
            raise error.TimeoutError("Result not ready.")
        values = self.get()
        if self._single_result:
            values = [values]
        return values[key]

    def __getattr__(self, key: str) -> Any:
        if key in Metadata.KEYS:
            return self[key]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {key!r}")

    def __iter__(self) -> Iterator[Any]:
        if self._single_result:
            raise TypeError("this result is a single one, so there is nothing to iterate over")
        return self._iterate(range(len(self.requests)))

    def _iterate(self, order: Iterable[int]) -> Iterator[Any]:
        for index in order:
            self.requests[index].wait()
            value = self._value(index)
            if self.requests[index].status != "ok" and not self._return_exceptions:
                self._raise_composite([value])
            yield value

    def __len__(self) -> int:
        return len(self.requests)

    # ---- how it ran ---------------------------------------------------------------------------

    @property
    def metadata(self) -> Metadata | list[Metadata]:
        """What is known about how the call ran, a list unless the result is a single one."""
        found = [self._metadata_of(index) for index in range(len(self.requests))]
        return found[0] if self._single_result else found

    def _metadata_of(self, index: int) -> Metadata:
        known = self._metadata.get(index)
        if known is not None:
            return known
        request = self.requests[index]
        complete = request.done and request.output_done
        metadata = self._read_metadata(request)
        if complete:
            self._metadata[index] = metadata
        return metadata

    def _read_metadata(self, request: Request) -> Metadata:
        metadata = Metadata()
        metadata["msg_id"] = request.msg_id
        metadata["submitted"] = _to_datetime(request.submitted)
        metadata["engine_uuid"] = request.target or None
        if request.done:
            metadata["received"] = _to_datetime(request.received)
            metadata["status"] = request.status
            if request.metadata:
                sent = json.loads(request.metadata)
                metadata["started"] = _date_in(sent, "started")
                metadata["completed"] = _date_in(json.loads(request.header), "date")
                metadata["engine_uuid"] = sent.get("engine") or request.target or None
                metadata["label"] = sent.get("label")
        metadata["engine_id"] = self._client.connection.engine_id(metadata["engine_uuid"])
        _add_outputs(metadata, request)
        return metadata

    @property
    def progress(self) -> int:
        """Number of results that are there, out of ``len(self)``."""
        return count_done(self.requests)

    @property
    def elapsed(self) -> float:
        """Seconds since the call was submitted, or `wall_time` once it is done."""
        if self.ready():
            return self.wall_time
        return time.time() - min(request.submitted for request in self.requests) / 1e6

    @property
    def serial_time(self) -> float:
        """Seconds that the engines worked, summed up.

        Raises
        ------
        TimeoutError
            If the results are not there yet.
        """
        self._require_ready()
        spans = [
            (metadata["completed"] - metadata["started"]).total_seconds()
            for metadata in map(self._metadata_of, range(len(self.requests)))
            if metadata["completed"] and metadata["started"]
        ]
        return sum(spans)

    @property
    def wall_time(self) -> float:
        """Seconds from the first submission to the last result.

        Raises
        ------
        TimeoutError
            If the results are not there yet.
        """
        self._require_ready()
        first = min(request.submitted for request in self.requests)
        return (max(request.received for request in self.requests) - first) / 1e6

    def _require_ready(self) -> None:
        if not self.ready():
            raise error.TimeoutError("Result not ready.")

    def abort(self) -> None:
        """Keep the calls that have not begun from running; their results are `TaskAborted`.

        Raises
        ------
        RuntimeError
            If the results are there already.
        """
        if self.ready():
            raise RuntimeError("the call is done and cannot be aborted any more")
        self._client.abort(self, targets=self._targets, block=True)

    def __repr__(self) -> str:
        state = "pending"
        if self.ready():
            state = "finished" if self.successful() else "failed"
        return f"<{type(self).__name__}({self._fname}): {state}>"


class AsyncMapResult(AsyncResult):
    """The results of a map, put together again from its chunks.

    Iterating gives items as their chunks arrive: in the order of the input, or if `ordered` is
    False in the order in which chunks finish.
    """

    def __init__(
        self,
        client: Client,
        requests: Sequence[Request],
        sizes: Sequence[int] | None,
        join: Callable[[list[Any]], Any] | None = None,
        fname: str = "unknown",
        targets: Sequence[int] | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
    ) -> None:
        super().__init__(
            client, requests, fname, targets, single=False, return_exceptions=return_exceptions
        )
        self._sizes = None if sizes is None else list(sizes)
        self._join = join
        self.ordered = ordered

    def _reconstruct(self, values: list[Any]) -> Any:
        failed = any(request.status != "ok" for request in self.requests)
        if self._join is not None and not failed:
            return self._join(values)
        return list(chain.from_iterable(map(self._items, range(len(values)))))

    def _items(self, index: int) -> Iterable[Any]:
        """Return the items of a chunk; an exception counts as one."""
        value = self._value(index)
        whole = self._sizes is None or self.requests[index].status != "ok"
        return (value,) if whole else value

    def __iter__(self) -> Iterator[Any]:
        order = range(len(self.requests)) if self.ordered else self._as_they_finish()
        for index in order:
            self.requests[index].wait()
            if self.requests[index].status != "ok" and not self._return_exceptions:
                self._raise_composite([self._value(index)])
            yield from self._items(index)

    def _as_they_finish(self) -> Iterator[int]:
        completions = Completions(self.requests)
        while indices := completions.next():
            yield from indices

    def __len__(self) -> int:
        return len(self.requests) if self._sizes is None else sum(self._sizes)

    @property
    def progress(self) -> int:
        """Number of items whose results are there, out of ``len(self)``."""
        if self._sizes is None:
            return count_done(self.requests)
        finished = zip(self.requests, self._sizes, strict=True)
        return sum(size for request, size in finished if request.done)
