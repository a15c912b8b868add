"""Synchronous twins of coroutine methods.

The coroutines of all twins run in one event loop in a thread of its own, which lives as long as the
process. So they work in notebooks, where a loop runs already, and what a coroutine leaves in the
loop (the wait for the end of a process, say) goes on behind it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")

# How long an interrupted call may take to clean up before it is left alone.
_CLEAN_UP_S = 30.0


def _let_output_go_to_the_current_cell() -> None:
    """Undo the habit of ipykernel to show a thread's output in the cell that started the thread."""
    me = threading.get_ident()
    for stream in (sys.stdout, sys.stderr):
        for name in ("_thread_to_parent", "_thread_to_parent_header"):
            getattr(stream, name, {}).pop(me, None)


class _LoopThread:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="ipyfleet-loop", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        _let_output_go_to_the_current_cell()
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


_lock = threading.Lock()
_current: _LoopThread | None = None


def _loop_thread() -> _LoopThread:
    global _current
    with _lock:
        if _current is None or _current.pid != os.getpid():  # threads do not survive a fork
            _current = _LoopThread()
        return _current


def loop() -> asyncio.AbstractEventLoop:
    """Return the loop in which the twins run."""
    return _loop_thread().loop


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result.

    When this thread is interrupted meanwhile, the coroutine is cancelled and may clean up before
    the interrupt goes on.
    """
    runner = _loop_thread()
    if threading.current_thread() is runner.thread:
        coroutine.close()
        raise RuntimeError("a _sync method was called by a coroutine; use the method without _sync")
    ended = threading.Event()

    async def watched() -> T:
        try:
            return await coroutine
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(watched(), runner.loop)
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            ended.wait(_CLEAN_UP_S)
        raise


def run_here(make: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run a coroutine in a loop of its own: for the end of the process and of objects."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(make())
        return
    thread = threading.Thread(target=lambda: asyncio.run(make()), daemon=True)
    thread.start()
    thread.join(_CLEAN_UP_S)


def _twin(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def twin(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return run(getattr(self, name)(*args, **kwargs))

    twin.__name__ = f"{name}_sync"
    twin.__qualname__ = f"{method.__qualname__}_sync"
    twin.__doc__ = f"Do what `{name}` does, and wait for it."
    return twin


class AsyncFirst:
    """Gives each public coroutine method ``f`` a synchronous twin ``f_sync``."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            if not name.startswith("_") and inspect.iscoroutinefunction(method):
                setattr(cls, f"{name}_sync", _twin(name, method))
