"""Executors of `concurrent.futures` over views."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from .balancedview import LoadBalancedView

if TYPE_CHECKING:
    from .asyncresult import AsyncResult
    from .view import View

__all__ = ["ViewExecutor"]


class ViewExecutor(Executor):
    """Runs calls on the engines of a view; `View.executor` is one.

    Parameters
    ----------
    view
        The view. The end of the executor leaves it and its engines as they are.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._max_workers = len(view)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Do as `View.apply_async`."""
        return self.view.apply_async(fn, *args, **kwargs)

    def map(self, func: Callable[..., Any], *iterables: Any, **kwargs: Any) -> Iterator[Any]:
        """Do as `View.imap`; input that has a length is sent at once. A timeout has no effect."""
        if kwargs.pop("timeout", None) is not None:
            warnings.warn("map of a view knows no timeout", stacklevel=2)
        if kwargs.pop("chunksize", 1) != 1:
            warnings.warn("map of an executor of a view sends item by item", stacklevel=2)
        if isinstance(self.view, LoadBalancedView) and all(
            isinstance(each, Sized) for each in iterables
        ):
            kwargs.setdefault("max_outstanding", 0)
        return self.view.imap(func, *iterables, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the results of everything that the view was given; engines stay.

        Parameters
        ----------
        wait
            Whether to wait.
        cancel_futures
            Whether calls that have not begun are aborted.
        """
        if cancel_futures and self.view.outstanding:
            self.view.abort(block=True)
        if wait:
            self.view.wait()
