"""One thread that notices when something that launchers have started ends."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import weakref
from typing import Protocol

__all__ = ["watch"]

# Where the end of a process cannot be waited for.
_BLIND_STEP_S = 0.1


class Watched(Protocol):
    """What can be watched. Its methods are called from the watching thread."""

    def look(self) -> bool: ...  # look what has ended; False: there is nothing to watch any more
    def pids(self) -> list[int]: ...  # children whose end is a reason to look
    def step(self) -> float: ...  # seconds until the next look without a reason


class _Watcher:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._watched: weakref.WeakSet[Watched] = weakref.WeakSet()
        self._running = False
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    def add(self, watched: Watched) -> None:
        with self._lock:
            self._watched.add(watched)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="ipyfleet-watch", daemon=True).start()
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"!")

    def _run(self) -> None:
        while True:
            with self._lock:
                everything = list(self._watched)
                if not everything:
                    self._running = False
                    return
            step = self._look_at(everything)
            del everything
            self._sleep(*step)

    def _look_at(self, everything: list[Watched]) -> tuple[float, list[int]]:
        step = 60.0
        pids: list[int] = []
        for each in everything:
            try:
                more = each.look()
            except Exception:  # a mistake of one must not blind the others
                more = True
            if more:
                step = min(step, each.step())
                pids += each.pids()
            else:
                with self._lock:
                    self._watched.discard(each)
        return step, pids

    def _sleep(self, step: float, pids: list[int]) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        opened: list[int] = []
        try:
            for pid in pids:
                try:
                    opened.append(os.pidfd_open(pid))
                except (AttributeError, OSError):
                    step = min(step, _BLIND_STEP_S)
                else:
                    poll.register(opened[-1], select.POLLIN)
            poll.poll(step * 1000)
        finally:
            for fd in opened:
                os.close(fd)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 1024):
                pass
        # What has just ended is often not alone, and a zombie that nobody has reaped is no storm.
        time.sleep(0.005)


_lock = threading.Lock()
_current: _Watcher | None = None


def watch(watched: Watched) -> None:
    """Call ``look`` of an object, which is not kept alive, until it returns False."""
    global _current
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = _Watcher()
        watcher = _current
    watcher.add(watched)
