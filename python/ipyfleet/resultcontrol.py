"""What one can do to calls that have been sent: look whether they are out, stop them, show them."""

from __future__ import annotations

import time
import weakref
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from . import error
from .cancelling import stop_requests
from .timing import TimedResult
from .waiting import Seconds, to_timeout

if TYPE_CHECKING:
    from .asyncresult import AsyncResult

__all__ = ["ControlledResult"]


class ControlledResult(TimedResult):
    """The part of a result that acts on its calls."""

    targets: Any
    trackers: list[weakref.ref[memoryview]] | None = None
    _cancelled = False

    @property
    def _whole(self) -> AsyncResult:
        return cast("AsyncResult", self)

    # ---- how it was sent ----------------------------------------------------------------------

    @property
    def sent(self) -> bool:
        """Whether arrays that were sent may be changed again; only known with ``track=True``.

        That is when the results are there: until then they are kept, to be sent again should the
        connection break.
        """
        return all(tracker() is None for tracker in self.trackers or ())

    def wait_for_send(self, timeout: Seconds | None = -1) -> None:
        """Wait until `sent` is true.

        Raises
        ------
        TimeoutError
            If it is not in time.
        """
        limit = to_timeout(timeout)
        end = None if limit is None else time.monotonic() + limit
        while not self.sent:
            if end is not None and time.monotonic() >= end:
                raise error.TimeoutError("Still waiting to be sent")
            # Any call of the C++ client gives back what it does not need any more.
            if self.wait(0.01):
                self.client.connection.native.wait_for_engines(0, 0)

    # ---- stopping -----------------------------------------------------------------------------

    def abort(self) -> None:
        """Keep the calls that have not begun from running; their results are `TaskAborted`.

        Raises
        ------
        RuntimeError
            If the results are there already.
        """
        if self.ready():
            raise RuntimeError("the call is done and cannot be aborted any more")
        self.client.abort(self._whole, targets=self.targets, block=True)

    def cancel(self) -> bool:
        """Stop the calls, also those that run; what they have done so far stays done.

        What runs is interrupted; an engine where that does not help within 3 s is ended, and
        replaced if it has a nanny. Engines of IPython Parallel only keep back what has not begun.

        Returns
        -------
        bool
            Whether calls were stopped, or will not run. False if they ended by themselves, or did
            not let themselves be stopped within 10 s.
        """
        if self.ready():
            return self._cancelled
        open_requests = [request for request in self.requests if not request.done]
        if stop_requests(self.client.connection, open_requests):
            self._cancelled = self._ready = True
            if self._is_future():
                self._finish()
        return self._cancelled

    def cancelled(self) -> bool:
        """Tell whether `cancel` stopped the call."""
        return self._cancelled

    # ---- showing ------------------------------------------------------------------------------

    def stream_output(self) -> AbstractContextManager[None]:
        """Return a context in which outputs are shown as they come.

        Examples
        --------
        >>> with ar.stream_output():  # doctest: +SKIP
        ...     ar.wait()
        """
        from .display import stream_output

        return stream_output(self._whole)

    def display_outputs(self, groupby: str = "type", result_only: bool = False) -> None:
        """Show what the calls printed and displayed, and the values of executed source text.

        Parameters
        ----------
        groupby
            "type": all stdout, all stderr, all plots, all values; "engine": everything of one
            engine, then of the next; "order": as type, but the first plots of all engines, then
            the second ones.
        result_only
            Whether to show values only.

        Raises
        ------
        TimeoutError
            If the results are not there yet.
        ValueError
            If `groupby` is none of these.
        """
        from .display import display_outputs

        display_outputs(self._whole, groupby, result_only)
