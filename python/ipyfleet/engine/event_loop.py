"""The asyncio loop of the main thread: cells with ``await``, and what user code leaves behind."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

_IDLE_ROUNDS = 8


class EventLoop:
    """Runs what needs a loop, which is made when it is first needed. Main thread only.

    Attributes
    ----------
    has_work
        True while user code has left tasks or timers behind; `do_one_idle` then lets them run.
    """

    def __init__(self) -> None:
        self.has_work = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """Return the event loop of the main thread, made when it is first needed."""
        import asyncio

        loop = self._loop
        if loop is not None and not loop.is_closed():
            return loop
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                loop = asyncio.get_event_loop()
            except RuntimeError:
                loop = None
        if loop is None or loop.is_closed():
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        self._loop = loop
        return loop

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a cell with top-level ``await``; an interrupt cancels it where it waits."""
        loop = self.get()
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt:
            if task.done():
                raise
            task.cancel()
            return loop.run_until_complete(task)

    def call(self, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a function that expects a running loop."""

        async def called() -> Any:
            return f(*args, **kwargs)

        return self.run(called())

    def look_for_work(self) -> None:
        """Find out whether user code has left tasks or timers behind; never raises."""
        asyncio = sys.modules.get("asyncio")
        if asyncio is None:
            return
        try:
            loop = self.get()
            # Timers are not tasks; the loop's own list of them is the only place to see them.
            self.has_work = bool(asyncio.all_tasks(loop) or getattr(loop, "_scheduled", None))
        except Exception:
            self.has_work = False  # a broken loop of the user must not cost a reply

    def do_one_idle(self) -> None:
        """Let the asyncio loop do what can be done without waiting.

        Raises
        ------
        BaseException
            What a task of the user raises past the loop (SystemExit, KeyboardInterrupt).
        """
        loop = self.get()
        try:
            for _ in range(_IDLE_ROUNDS):
                loop.call_soon(loop.stop)
                loop.run_forever()
        finally:
            self.look_for_work()
