"""Results of calls that have not come yet."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from . import error, serialize
from ._native import Completions, Request, count_done, wait_all
from .futures import LazyFuture, notifier
from .metadata import ExecuteReply, Metadata
from .resultcontrol import ControlledResult, Seconds, to_timeout
from .timing import TimedResult

if TYPE_CHECKING:
    from .client import Client

__all__ = ["AsyncResult", "EngineLostError", "TaskCancelled"]

Children: TypeAlias = "Request | str | Sequence[Request] | Sequence[str]"


class EngineLostError(error.RemoteError, error.EngineError):
    """The engine died, or was unregistered, before it answered."""


class TaskCancelled(error.TaskAborted, CancelledError):  # noqa: N818 - beside TaskAborted
    """The call was stopped by `AsyncResult.cancel`."""


class AsyncResult(TimedResult, ControlledResult, LazyFuture):
    """The results of one call on one or several engines.

    Made by views. It is a future of `concurrent.futures`, can be awaited in asyncio, and iterated
    over with ``for`` and ``async for``. Results are unpickled when they are asked for, each once.

    Parameters
    ----------
    client
        The client that made the calls.
    children
        Requests of the C++ client or message ids: a list of them, or a single one, which makes a
        result that is a single value.
    fname
        Name of what was called, for messages.
    targets
        Ids of the engines that were called.
    owner
        Kept for compatibility; results are dropped by the limits of the client.
    return_exceptions
        Whether `get` returns exceptions in the place of results unless told otherwise.
    chunk_sizes
        By message id how many items of a map a request stands for.

    Attributes
    ----------
    requests
        The handles of the C++ client, one for each engine or chunk.

    Notes
    -----
    Every key of `Metadata` is an attribute as well: ``ar.stdout``, ``ar.engine_id``, ``ar.data``.
    It is a list if the result is one, and may be read before the result is there.
    """

    owner = False
    # The part of a map for one request is a list of chunks, also if a chunk is sent as an item.
    _wraps_items = False
    _parts: tuple[AsyncResult, ...] | None = None

    def __init__(
        self,
        client: Client,
        children: Children,
        fname: str = "unknown",
        targets: Sequence[int] | None = None,
        owner: bool = False,
        return_exceptions: bool = False,
        chunk_sizes: dict[str, int] | None = None,
    ) -> None:
        # As little as possible happens here: tasks are submitted a hundred thousand a second.
        self._client = client
        self._single_result = single = type(children) is Request or isinstance(children, str)
        self.requests = self._find([children] if single else children)  # type: ignore[arg-type]
        self._fname = fname
        self._targets = targets
        self._return_exceptions = return_exceptions
        self._ready = False
        self._values: dict[int, Any] = {}
        self._metadata: dict[int, Metadata] = {}
        self._sizes: list[int] | None = None
        if owner:
            self.owner = owner
        if chunk_sizes:
            self._sizes = [chunk_sizes.get(request.msg_id, 1) for request in self.requests]

    def _find(self, children: Sequence[Any]) -> list[Any]:
        if children and isinstance(children[0], str):
            return self._client._requests_of(children)
        # A list is taken as it is: maps make one for themselves.
        found: list[Any] = children if isinstance(children, list) else list(children)
        return found

    # ---- waiting ------------------------------------------------------------------------------

    @property
    def msg_ids(self) -> list[str]:
        """The message id of each engine or chunk."""
        return [request.msg_id for request in self.requests]

    def _wait_all(self, timeout: Seconds | None) -> bool:
        return wait_all(self.requests, timeout)

    def wait(self, timeout: Seconds | None = -1, return_when: str | None = None) -> Any:
        """Wait until all results are there.

        Parameters
        ----------
        timeout
            Seconds; None or a negative number means no limit.
        return_when
            None, or as in `concurrent.futures.wait` ``FIRST_COMPLETED``, ``FIRST_EXCEPTION`` or
            ``ALL_COMPLETED``.

        Returns
        -------
        bool or tuple
            False if some results are missing when the time is over. With `return_when` two sets of
            results for a single engine or chunk: what is done and what is not.
        """
        if return_when is not None:
            return self._wait_for_some(to_timeout(timeout), return_when)
        if not self._ready:
            self._ready = self._wait_all(to_timeout(timeout))
        return self._ready

    def _wait_for_some(
        self, timeout: Seconds | None, return_when: str | None
    ) -> tuple[set[AsyncResult], set[AsyncResult]]:
        if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
            raise ValueError(f"return_when is one of the constants, not {return_when!r}")
        limit = None if timeout is None else time.monotonic() + timeout
        completions = Completions(self.requests)
        enough = False
        while not enough and completions.open:
            left = None if limit is None else max(0.0, limit - time.monotonic())
            finished = completions.next(left)
            if not finished:
                break
            failed = any(self.requests[index].status != "ok" for index in finished)
            enough = return_when == FIRST_COMPLETED or (return_when == FIRST_EXCEPTION and failed)
        parts = self.split()
        done = {part for part in parts if part.ready()}
        return done, set(parts) - done

    def ready(self) -> bool:
        """Tell whether all results are there."""
        if not self._ready:
            self._ready = count_done(self.requests) == len(self.requests)
        return self._ready

    def wait_for_output(self, timeout: Seconds | None = -1) -> bool:
        """Wait until all results and everything that was printed are there.

        Returns
        -------
        bool
            False if something is missing when the time is over.
        """
        return wait_all(self.requests, to_timeout(timeout), output=True)

    def wait_interactive(
        self,
        interval: Seconds = 0.1,
        timeout: Seconds | None = -1,
        widget: bool | None = None,
        return_when: str | None = ALL_COMPLETED,
    ) -> None:
        """Wait and show how many results are there.

        Parameters
        ----------
        interval
            Seconds between two looks.
        timeout
            Seconds; None or a negative number means no limit. Nothing is raised when it is over.
        widget
            Whether to show a widget of a notebook; by default if this is one.
        return_when
            As in `wait`.
        """
        from .display import progress

        limit = to_timeout(timeout)
        end = None if limit is None else time.monotonic() + limit
        bar = progress(len(self), unit="tasks", desc=self._fname, widget=widget)
        try:
            while True:
                left = interval if end is None else min(interval, end - time.monotonic())
                enough = self._waited_enough(max(0.0, left), return_when)
                bar.update(self.progress - bar.n)
                if enough:
                    return
                if end is not None and time.monotonic() >= end:
                    return
        finally:
            bar.close()

    def _waited_enough(self, timeout: Seconds, return_when: str | None) -> bool:
        if return_when in (None, ALL_COMPLETED):
            return bool(self.wait(timeout))
        done, pending = self._wait_for_some(timeout, return_when)
        if return_when == FIRST_COMPLETED:
            return bool(done)
        return not pending or any(part._failed() for part in done)

    def successful(self) -> bool:
        """Tell whether nothing was raised.

        Raises
        ------
        RuntimeError
            If the results are not there yet.
        """
        if not self.ready():
            raise RuntimeError("the result is not ready, so it is not known whether it succeeded")
        return not self._failed()

    def _failed(self) -> bool:
        return any(request.status != "ok" for request in self.requests)

    # ---- results ------------------------------------------------------------------------------

    def get(
        self,
        timeout: Seconds | None = None,
        return_exceptions: bool | None = None,
        return_when: str | None = None,
    ) -> Any:
        """Return the result, or the list of results; wait for it if need be.

        Parameters
        ----------
        timeout
            Seconds; None or a negative number means no limit.
        return_exceptions
            Whether to return exceptions in the place of results instead of raising them.
        return_when
            ``FIRST_EXCEPTION`` to raise as soon as one of the calls has failed.

        Raises
        ------
        TimeoutError
            If the results are not there in time.
        RemoteError
            If the call raised; for several engines a `CompositeError`, which is one too.
        TaskAborted
            If the call was aborted; a `TaskCancelled` if `cancel` did it.
        """
        if return_when == FIRST_COMPLETED:
            warnings.warn("get waits for all results; FIRST_COMPLETED has no effect", stacklevel=2)
        if return_when == FIRST_EXCEPTION and not self.ready():
            done, _ = self.wait(timeout, return_when=return_when)
            for part in done:
                if part._failed():
                    part.get(return_exceptions=return_exceptions)
        elif not self.wait(timeout):
            raise error.TimeoutError("Result not ready.")
        if not self.ready():
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
        if self._return_exceptions:
            return None
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

    @property
    def result_dict(self) -> dict[int, Any]:
        """As ``get_dict()``."""
        return self.get_dict()

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
        if self._cancelled:
            return TaskCancelled(request.msg_id)
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
        if self._single_result or self._cancelled:
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
        if self._wraps_items:
            return [
                [value] if request.status == "ok" else value
                for value, request in zip(values, self.requests, strict=True)
            ]
        return values[0] if self._single_result else values

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            values = [metadata[key] for metadata in self._all_metadata()]
            return values[0] if self._single_result else values
        if not isinstance(key, int | slice):
            raise TypeError(f"results are chosen by int, slice or name of metadata, not {key!r}")
        self._require_ready()
        values = self.get()
        if self._single_result:
            values = [values]
        return values[key]

    def __getattr__(self, key: str) -> Any:
        if key in Metadata.KEYS:
            return self[key]
        return super().__getattr__(key)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *Metadata.KEYS})

    def __len__(self) -> int:
        return len(self.requests) if self._sizes is None else sum(self._sizes)

    # ---- one after the other ------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        if self._single_result:
            raise TypeError("this result is a single one, so there is nothing to iterate over")
        return self._iterate()

    def _order(self) -> Iterable[int]:
        """Return the indices of the requests in the order in which iteration gives them."""
        return range(len(self.requests))

    def _items(self, index: int) -> Iterable[Any]:
        """Return what iteration gives for a request that has its result."""
        value = self._value(index)
        if self.requests[index].status != "ok" and not self._return_exceptions:
            self._raise_composite([value])
        return (value,)

    def _iterate(self) -> Iterator[Any]:
        for index in self._order():
            self.requests[index].wait()
            yield from self._items(index)

    def __await__(self) -> Generator[Any, None, Any]:
        for request in self.requests:
            yield from until_done(request).__await__()
        return self.get()

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._single_result:
            raise TypeError("this result is a single one, so there is nothing to iterate over")
        return self._iterate_async()

    async def _iterate_async(self) -> AsyncIterator[Any]:
        for index in range(len(self.requests)):
            await until_done(self.requests[index])
            for item in self._items(index):
                yield item

    # ---- parts --------------------------------------------------------------------------------

    def split(self) -> tuple[AsyncResult, ...]:
        """Return a result for each engine or chunk; each call returns the same objects."""
        if len(self.requests) == 1:
            return (self,)
        if self._parts is None:
            targets = self._targets or [None] * len(self.requests)
            self._parts = tuple(
                self._part(index, None if target is None else [target])
                for index, target in enumerate(targets)
            )
        return self._parts

    def _part(self, index: int, targets: list[int] | None) -> AsyncResult:
        return AsyncResult(
            self._client,
            self.requests[index],
            self._fname,
            targets,
            return_exceptions=self._return_exceptions,
        )

    @classmethod
    def join(cls, *async_results: AsyncResult) -> AsyncResult:
        """Return one result for several; the reverse of `split`.

        Raises
        ------
        ValueError
            If there is none.
        """
        if not async_results:
            raise ValueError("there is no result to join")
        first = async_results[0]
        if len(async_results) == 1:
            return first
        known = [result._targets for result in async_results]
        return AsyncResult(
            first._client,
            list(chain.from_iterable(result.requests for result in async_results)),
            first._fname,
            None if None in known else list(chain.from_iterable(known)),  # type: ignore[arg-type]
            return_exceptions=first._return_exceptions,
        )

    def __repr__(self) -> str:
        state = "pending"
        if self.ready():
            state = "finished" if self.successful() else "failed"
        return f"<{type(self).__name__}({self._fname}): {state}>"


async def until_done(request: Request) -> None:
    """Wait for a request in the event loop that runs."""
    if request.done:
        return
    import asyncio

    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def tell() -> None:
        # A loop that has ended meanwhile has nobody who waits.
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish)

    notifier.watch(request, tell)
    await done
