"""Results as futures of `concurrent.futures`: callbacks when requests finish.

Most results are only waited for, which the C++ client does without any help. What is here comes
into being when a result is used as a future: a callback is added to it, it is awaited or handed to
`concurrent.futures.wait`.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures._base import FINISHED
from typing import Any

from ._native import Completions, Request

__all__ = ["LazyFuture", "notifier"]

_LINGER_S = 5.0
_ROUND_S = 0.5  # how long the end of the program may have to wait for the thread
_INDEX_MAX = 2**32


class Notifier:
    """Calls functions when requests finish, on a thread that lives while there are any."""

    def __init__(self) -> None:
        self.reset()
        atexit.register(self.stop)
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Forget everything, as in a forked child, where the thread does not exist."""
        self._changed = threading.Condition()
        self._completions = Completions()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0
        self._thread: threading.Thread | None = None
        self._stopping = False

    def watch(self, request: Request, callback: Callable[[], None]) -> None:
        """Call `callback` when the request has its result, at once if it has it already."""
        with self._changed:
            index = self._next
            self._next = (index + 1) % _INDEX_MAX
            self._callbacks[index] = callback
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ipyfleet", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()
        try:
            self._completions.add(request, index)
        except BaseException:
            with self._changed:
                del self._callbacks[index]
            raise

    def stop(self) -> None:
        """End the thread; later callbacks are never called."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(10 * _ROUND_S)

    def _has_work(self) -> bool:
        with self._changed:
            while not self._callbacks and not self._stopping:
                if not self._changed.wait(_LINGER_S) and not self._callbacks:
                    break
            if self._callbacks and not self._stopping:
                return True
            self._thread = None
            return False

    def _run(self) -> None:
        while self._has_work():
            for index in self._completions.next(_ROUND_S):
                with self._changed:
                    callback = self._callbacks.pop(index)
                try:
                    callback()
                except Exception:
                    logging.getLogger("ipyfleet").exception("a callback of a result failed")


notifier = Notifier()

_FUTURE_STATE = frozenset(
    ("_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks")
)
_starting = threading.RLock()


class LazyFuture(Future[Any]):
    """A future whose own state (a lock, a condition, lists) is made when somebody needs it.

    Subclasses have the requests, and say in `ready` whether all of them have results and in
    `_failed` whether one of these is an error.
    """

    requests: list[Any]

    def __getattr__(self, name: str) -> Any:
        if name not in _FUTURE_STATE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _starting:
            if name not in self.__dict__:
                super().__init__()
                self._watch_requests()
        return self.__dict__[name]

    def _watch_requests(self) -> None:
        open_requests = [request for request in self.requests if not request.done]
        if not open_requests:
            self._finish()
            return
        left = len(open_requests)

        def count_down() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._finish()

        for request in open_requests:
            notifier.watch(request, count_down)

    def _finish(self) -> None:
        """Enter the final state and tell everybody who waits."""
        failed = self._failed()
        with self._condition:
            if self._state == FINISHED:  # a call that was cancelled ends later for good
                return
            self._state = FINISHED
            for waiter in self._waiters:
                (waiter.add_exception if failed else waiter.add_result)(self)
            self._condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]

    def _is_future(self) -> bool:
        """Tell whether the state of a future has been made."""
        return "_condition" in self.__dict__

    def ready(self) -> bool:
        """Tell whether all results are there."""
        raise NotImplementedError

    def _failed(self) -> bool:
        raise NotImplementedError

    def done(self) -> bool:
        """Tell whether all results are there."""
        return self.ready()

    def running(self) -> bool:
        """Tell whether results are still missing; a call that waits for an engine counts too."""
        return not self.ready()

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """Call ``fn(self)`` when all results are there, on a thread of the client or at once."""
        # Looking at the condition makes the state that the base class works with.
        condition = self._condition
        with condition:
            if self._state != FINISHED:
                self._done_callbacks.append(fn)  # type: ignore[attr-defined]
                return
        try:
            fn(self)
        except Exception:
            logging.getLogger("ipyfleet").exception("a callback of a result failed")
