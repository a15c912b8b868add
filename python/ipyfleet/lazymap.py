"""Maps that take their input bit by bit, so that it may be endless."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ._native import Completions
from .asyncresult import AsyncResult
from .chunkedmap import engine_seconds
from .chunking import ChunkPolicy

__all__ = ["LazyMapIterator"]

Items = list[tuple[Any, ...]]
_Submit = Callable[[Items], AsyncResult]

# Items that wait for their chunk to be full are sent without it after so long.
_GATHER_S = 0.002


class LazyMapIterator:
    """The results of a lazy map, as they come.

    Takes items from the input while fewer than `max_outstanding` have no result yet. Input that may
    keep one waiting (a generator) is taken by a thread of its own, so that results can be had
    meanwhile; what has a length is taken by whoever asks for the next result.

    Parameters
    ----------
    submit
        Makes the call for a chunk of items, each a tuple of arguments.
    inputs
        The items.
    policy
        Says how many items make a chunk; None means that each is a call of its own, whose result is
        that of the item.
    max_outstanding
        Of items; 0 means that only `max_calls` matters.
    max_calls
        How many calls may have no result yet; 0 means no limit.
    ordered
        Whether results come in the order of the input, or as they are there.
    return_exceptions
        Whether an exception takes the place of a result (of those of a chunk) instead of being
        raised.
    threaded
        Whether taking from `inputs` may take long.
    """

    def __init__(
        self,
        submit: _Submit,
        inputs: Iterator[tuple[Any, ...]],
        policy: ChunkPolicy | None,
        max_outstanding: int,
        max_calls: int,
        ordered: bool,
        return_exceptions: bool,
        threaded: bool,
    ) -> None:
        self._submit = submit
        self._inputs = inputs
        self._policy = policy
        self._items_max = max_outstanding
        self._calls_max = max_calls
        self._return_exceptions = return_exceptions
        self._exhausted = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._submitting = threading.Lock()
        # Taken from the input, but not submitted yet; and how many are being submitted.
        self._gathered: Items = []
        self._leaving = 0
        self._gathered_since = 0.0
        # Submitted: results, and how many items each has.
        self._pending: deque[tuple[AsyncResult, int]] = deque()
        self._calls = 0
        self._items = 0
        self._completions = None if ordered else Completions()
        self._by_index: dict[int, tuple[AsyncResult, int]] = {}
        self._finished: deque[int] = deque()
        self._index = 0
        # The rest of the chunk whose results are given out.
        self._values: deque[Any] = deque()
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._feed, name="ipyfleet-imap", daemon=True)
            self._thread.start()
        else:
            self._fill()

    # ---- input --------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        items = self._items + self._leaving + len(self._gathered)
        if self._items_max and items >= self._items_max:
            return False
        return not self._calls_max or self._calls + bool(self._leaving) < self._calls_max

    def _chunk_size(self) -> int:
        size = 1 if self._policy is None else self._policy.size(None)
        return min(size, max(1, self._items_max - self._items)) if self._items_max else size

    def _take_one(self) -> None:
        """Take one item of the input, and submit a chunk if that makes it full."""
        try:
            item = next(self._inputs)
        except StopIteration:
            self._end()
            return
        except BaseException as failure:
            self._end(failure)
            return
        with self._changed:
            if not self._gathered:
                self._gathered_since = time.monotonic()
            self._gathered.append(item)
            full = len(self._gathered) >= self._chunk_size()
            if not full:
                self._changed.notify_all()
        if full:
            self._flush()

    def _flush(self) -> None:
        """Submit what is gathered."""
        with self._submitting:
            with self._changed:
                items, self._gathered = self._gathered, []
                self._leaving = len(items)
            if not items:
                return
            try:
                result = self._submit(items)
            except BaseException as failure:
                self._leaving = 0
                self._stop(failure)
                return
            with self._changed:
                self._leaving = 0
                self._calls += 1
                self._items += len(items)
                if self._completions is None:
                    self._pending.append((result, len(items)))
                else:
                    self._by_index[self._index] = (result, len(items))
                    self._completions.add(result.requests[0], self._index)
                    self._index = (self._index + 1) % 2**32
                self._changed.notify_all()

    def _end(self, failure: BaseException | None = None) -> None:
        self._flush()
        self._stop(failure)

    def _stop(self, failure: BaseException | None = None) -> None:
        with self._changed:
            self._exhausted = True
            self._failure = failure or self._failure
            self._changed.notify_all()

    def _fill(self) -> None:
        """Submit whole chunks of input that keeps nobody waiting."""
        while not self._exhausted and self._has_room():
            size = self._chunk_size()
            try:
                self._gathered.extend(islice(self._inputs, size))
            except BaseException as failure:
                self._end(failure)
                return
            if len(self._gathered) < size:
                self._end()
            else:
                self._flush()

    def _feed(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._exhausted or self._has_room())
                if self._exhausted:
                    return
            self._take_one()

    def cancel(self) -> None:
        """Take no more input; the results of what was taken can still be had."""
        self._end()

    @property
    def exhausted(self) -> bool:
        """Whether no more input will be taken."""
        return self._exhausted

    # ---- results ------------------------------------------------------------------------------

    def __iter__(self) -> LazyMapIterator:
        return self

    def __next__(self) -> Any:
        while not self._values:
            self._values.extend(self._next_values())
        return self._values.popleft()

    def _await_call(self) -> None:
        """Wait until a call is under way, or the end is reached."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._gathered or self._exhausted)
                if not self._gathered:
                    return
                # Their chunk may never be full: the input may keep us waiting for ever.
                left = self._gathered_since + _GATHER_S - time.monotonic()
                if left > 0:
                    if self._calls:
                        return
                    self._changed.wait_for(lambda: self._calls or not self._gathered, left)
                    continue
            self._flush()

    def _next_values(self) -> Any:
        """Return the results of the next call."""
        if self._thread is None:
            self._fill()
        self._await_call()
        if not self._calls:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            raise StopIteration
        result, items = self._next_result()
        with self._changed:
            self._calls -= 1
            self._items -= items
            if self._policy is not None:
                seconds = engine_seconds(result.requests[0])
                if seconds is not None:
                    self._policy.record(items, seconds)
            self._changed.notify_all()
        value = result.get(return_exceptions=self._return_exceptions)
        return (value,) if self._policy is None or isinstance(value, BaseException) else value

    def _next_result(self) -> tuple[AsyncResult, int]:
        if self._completions is None:
            self._pending[0][0].wait()
            return self._pending.popleft()
        while not self._finished:
            self._finished.extend(self._completions.next())
        return self._by_index.pop(self._finished.popleft())
