"""Maps that take their input bit by bit, so that it may be endless."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ._native import Completions
from .asyncresult import AsyncResult

__all__ = ["LazyMapIterator"]

_SubmitNext = Callable[[tuple[Any, ...]], AsyncResult]


class LazyMapIterator:
    """The results of a lazy map, as they come.

    Takes items from the input while fewer than `max_outstanding` calls have no result yet. Input
    that may keep one waiting (a generator) is taken by a thread of its own, so that results can be
    had meanwhile; what has a length is taken by whoever asks for the next result.

    Parameters
    ----------
    submit
        Makes the call for one tuple of arguments.
    inputs
        The tuples.
    max_outstanding
        0 means no limit.
    ordered
        Whether results come in the order of the input, or as they are there.
    return_exceptions
        Whether an exception takes the place of a result instead of being raised.
    threaded
        Whether taking from `inputs` may take long.
    """

    def __init__(
        self,
        submit: _SubmitNext,
        inputs: Iterator[tuple[Any, ...]],
        max_outstanding: int,
        ordered: bool,
        return_exceptions: bool,
        threaded: bool,
    ) -> None:
        self._submit = submit
        self._inputs = inputs
        self._limit = max_outstanding
        self._return_exceptions = return_exceptions
        self._exhausted = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._pending: deque[AsyncResult] = deque()
        self._open = 0
        self._completions = None if ordered else Completions()
        self._by_index: dict[int, AsyncResult] = {}
        self._ready: deque[int] = deque()
        self._index = 0
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._feed, name="ipyfleet-imap", daemon=True)
            self._thread.start()
        else:
            self._fill()

    # ---- input --------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return not self._limit or self._open < self._limit

    def _take_one(self) -> None:
        """Submit the call for the next item of the input."""
        try:
            result = self._submit(next(self._inputs))
        except StopIteration:
            self._end()
            return
        except BaseException as failure:
            self._end(failure)
            return
        with self._changed:
            self._open += 1
            if self._completions is None:
                self._pending.append(result)
            else:
                self._by_index[self._index] = result
                self._completions.add(result.requests[0], self._index)
                self._index = (self._index + 1) % 2**32
            self._changed.notify_all()

    def _end(self, failure: BaseException | None = None) -> None:
        with self._changed:
            self._exhausted = True
            self._failure = failure
            self._changed.notify_all()

    def _fill(self) -> None:
        while not self._exhausted and self._has_room():
            self._take_one()

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
        if self._thread is None:
            self._fill()
        with self._changed:
            self._changed.wait_for(lambda: self._open or self._exhausted)
            if not self._open:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                raise StopIteration
        result = self._next_result()
        result.wait()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()
        return result.get(return_exceptions=self._return_exceptions)

    def _next_result(self) -> AsyncResult:
        if self._completions is None:
            result = self._pending[0]
            result.wait()
            self._pending.popleft()
            return result
        while not self._ready:
            self._ready.extend(self._completions.next())
        return self._by_index.pop(self._ready.popleft())
