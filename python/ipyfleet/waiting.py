"""Waiting for the results of calls: in a thread, with a progress bar, in an event loop."""

from __future__ import annotations

import time
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import TYPE_CHECKING, Any

from ._native import Completions, Request, count_done, wait_all
from .futures import LazyFuture, notifier
from .reading import ReadRequest

if TYPE_CHECKING:
    from .asyncresult import AsyncResult

__all__ = ["Seconds", "WaitedResult", "to_timeout", "until_done"]

Seconds = float


def to_timeout(timeout: Seconds | None) -> Seconds | None:
    """Return a timeout in which None is the only word for no limit."""
    return None if timeout is None or timeout < 0 else timeout


class WaitedResult(LazyFuture):
    """The part of a result that waits for its requests."""

    fname: str
    _ready: bool
    # How many of the requests were read and let go of.
    _released: int = 0

    def _held(self) -> list[Any]:
        """Return the requests that still have their results, or wait for them."""
        if not self._released:
            return self.requests
        return [request for request in self.requests if not isinstance(request, ReadRequest)]

    def _wait_all(self, timeout: Seconds | None) -> bool:
        return wait_all(self._held(), timeout)

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
        held = self._held()
        completions = Completions(held)
        enough = False
        while not enough and completions.open:
            left = None if limit is None else max(0.0, limit - time.monotonic())
            finished = completions.next(left)
            if not finished:
                break
            failed = any(held[index].status != "ok" for index in finished)
            enough = return_when == FIRST_COMPLETED or (return_when == FIRST_EXCEPTION and failed)
        parts = self.split()
        done = {part for part in parts if part.ready()}
        return done, set(parts) - done

    def ready(self) -> bool:
        """Tell whether all results are there."""
        if not self._ready:
            held = self._held()
            self._ready = count_done(held) == len(held)
        return self._ready

    def wait_for_output(self, timeout: Seconds | None = -1) -> bool:
        """Wait until all results and everything that was printed are there.

        Returns
        -------
        bool
            False if something is missing when the time is over.
        """
        return wait_all(self._held(), to_timeout(timeout), output=True)

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
        bar = progress(len(self), unit="tasks", desc=self.fname, widget=widget)
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

    @property
    def progress(self) -> int:
        """Number of results that are there, out of ``len(self)``."""
        return self._released + count_done(self._held())

    def split(self) -> tuple[AsyncResult, ...]:
        """Return a result for each engine or chunk."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


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
