"""Results of calls that have not come yet."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from . import error
from ._native import Request
from .checks import require_type
from .metadata import Metadata
from .reading import (
    EngineLostError,
    ReadRequest,
    ResultFreedError,
    TaskCancelled,
    raise_composite,
    read_reply,
)
from .resultcontrol import ControlledResult
from .waiting import Seconds, until_done

if TYPE_CHECKING:
    from .client import Client

__all__ = ["AsyncResult", "EngineLostError", "ResultFreedError", "TaskCancelled"]

Children: TypeAlias = "Request | str | Sequence[Request] | Sequence[str]"


class AsyncResult(ControlledResult):
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
    keep_results
        Whether results stay after they were read; by default as `keep_results` of the view. If
        False, `get` and iteration let go of what they return, here and in the client; reading it
        again raises `ResultFreedError`. What raises an exception stays.

    Notes
    -----
    Every key of `Metadata` is an attribute as well: ``ar.stdout``, ``ar.engine_id``, ``ar.data``.
    It is a list if the result is one, and may be read before the result is there.
    """

    owner = False
    keep_results = True
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
        self.client = client
        self.single_result = single = type(children) is Request or isinstance(children, str)
        self.requests = self._find([children] if single else children)  # type: ignore[arg-type]
        self.fname = fname
        self.targets = targets
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
            return self.client.connection.requests_of(children)
        # A list is taken as it is: maps make one for themselves.
        found: list[Any] = children if isinstance(children, list) else list(children)
        return found

    @property
    def msg_ids(self) -> list[str]:
        """The message id of each engine or chunk."""
        return [request.msg_id for request in self.requests]

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
        if return_when is None and self.single_result and type(self) is AsyncResult:
            return self._get_single(timeout, return_exceptions)
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
        whole = self._reconstruct(values)
        if not self.keep_results:
            for index in range(len(self.requests)):
                self._release(index)
        return whole

    def _get_single(self, timeout: Seconds | None, return_exceptions: bool | None) -> Any:
        """Do as `get` for a single call, of which there may be very many."""
        request = self.requests[0]
        if not self._ready:
            if not request.wait(timeout):
                raise error.TimeoutError("Result not ready.")
            self._ready = True
        value = self._value(0)
        if return_exceptions is None:
            return_exceptions = self._return_exceptions
        if request.status != "ok" and not return_exceptions:
            raise value
        if not self.keep_results:
            self._release(0)
        return value

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
        if self.single_result:
            values = [values]
        by_engine: dict[int, Any] = {}
        for index, value in enumerate(values):
            engine_id = self.metadata_of(index)["engine_id"]
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

    def _release(self, index: int) -> None:
        """Let go of a result that was read."""
        request = self.requests[index]
        if not isinstance(request, ReadRequest):
            self.client.connection.native.forget(request.msg_id)
            self.requests[index] = ReadRequest(request)
            self._released += 1
        self._values.pop(index, None)
        self._metadata.pop(index, None)

    def _read_value(self, index: int) -> Any:
        return read_reply(
            self.client.connection,
            self.requests[index],
            lambda: self.metadata_of(index),
            self._cancelled,
        )

    def _raise_errors(self, values: Sequence[Any]) -> None:
        """Raise the exceptions among values: as they are, or together for several engines."""
        failed = [
            value
            for value, request in zip(values, self.requests, strict=True)
            if request.status != "ok"
        ]
        if not failed:
            return
        if self.single_result or self._cancelled:
            raise failed[0]
        raise_composite(failed, self.fname)

    def _reconstruct(self, values: list[Any]) -> Any:
        if self._wraps_items:
            return [
                [value] if request.status == "ok" else value
                for value, request in zip(values, self.requests, strict=True)
            ]
        return values[0] if self.single_result else values

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            values = [metadata[key] for metadata in self._all_metadata()]
            return values[0] if self.single_result else values
        require_type(key, int | slice, "results are chosen by int, slice or name of metadata")
        self._require_ready()
        values = self.get()
        if self.single_result:
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
        if self.single_result:
            raise TypeError("this result is a single one, so there is nothing to iterate over")
        return self._iterate()

    def _order(self) -> Iterable[int]:
        """Return the indices of the requests in the order in which iteration gives them."""
        return range(len(self.requests))

    def _items(self, index: int) -> Iterable[Any]:
        """Return what iteration gives for a request that has its result."""
        value = self._value(index)
        if self.requests[index].status != "ok" and not self._return_exceptions:
            raise_composite([value], self.fname)
        return (value,)

    def _iterate(self) -> Iterator[Any]:
        for index in self._order():
            self.requests[index].wait()
            yield from self._items(index)
            if not self.keep_results:
                self._release(index)

    def __await__(self) -> Generator[Any, None, Any]:
        for request in self.requests:
            yield from until_done(request).__await__()
        return self.get()

    def __aiter__(self) -> AsyncIterator[Any]:
        if self.single_result:
            raise TypeError("this result is a single one, so there is nothing to iterate over")
        return self._iterate_async()

    async def _iterate_async(self) -> AsyncIterator[Any]:
        for index in range(len(self.requests)):
            await until_done(self.requests[index])
            for item in self._items(index):
                yield item
            if not self.keep_results:
                self._release(index)

    # ---- parts --------------------------------------------------------------------------------

    def split(self) -> tuple[AsyncResult, ...]:
        """Return a result for each engine or chunk; each call returns the same objects."""
        if len(self.requests) == 1:
            return (self,)
        if self._parts is None:
            targets = self.targets or [None] * len(self.requests)
            self._parts = tuple(
                self._part(index, None if target is None else [target])
                for index, target in enumerate(targets)
            )
        return self._parts

    def _part(self, index: int, targets: list[int] | None) -> AsyncResult:
        return AsyncResult(
            self.client,
            self.requests[index],
            self.fname,
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
        known = [result.targets for result in async_results]
        return AsyncResult(
            first.client,
            list(chain.from_iterable(result.requests for result in async_results)),
            first.fname,
            None if None in known else list(chain.from_iterable(known)),  # type: ignore[arg-type]
            return_exceptions=first._return_exceptions,
        )

    def __repr__(self) -> str:
        state = "pending"
        if self.ready():
            state = "finished" if self.successful() else "failed"
        return f"<{type(self).__name__}({self.fname}): {state}>"
