"""Functions that run on engines when they are called."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import remotecode, serialize
from .mapping import Dist, as_sequences, map_of
from .view import name_of

if TYPE_CHECKING:
    from .view import View

__all__ = ["ParallelFunction", "RemoteFunction", "parallel", "remote"]


def remote(
    view: View, block: bool | None = None, **flags: Any
) -> Callable[[Callable[..., Any]], RemoteFunction]:
    """Return a decorator that makes a function run on the engines of a view.

    Parameters
    ----------
    view
        Where it runs.
    block
        Whether calls wait; None means as `block` of the view.
    **flags
        Flags of the view during calls.

    Examples
    --------
    >>> @ipp.remote(rc[:], block=True)  # doctest: +SKIP
    ... def pid():
    ...     import os
    ...     return os.getpid()
    """
    return lambda f: RemoteFunction(view, f, block=block, **flags)


def parallel(
    view: View, dist: Dist = "b", block: bool | None = None, ordered: bool = True, **flags: Any
) -> Callable[[Callable[..., Any]], ParallelFunction]:
    """Return a decorator that splits the arguments of a function over the engines of a view.

    Parameters
    ----------
    view, block, **flags
        As in `remote`.
    dist
        "b": each engine gets a block; "r": items in turn.
    ordered
        Whether iterating over results keeps the order of the input.

    Examples
    --------
    >>> @ipp.parallel(rc[:], block=True)  # doctest: +SKIP
    ... def square(numbers):
    ...     return numbers**2
    """
    return lambda f: ParallelFunction(view, f, dist=dist, block=block, ordered=ordered, **flags)


class RemoteFunction:
    """A function that runs on the engines of a view; see `remote`.

    Attributes
    ----------
    view, func, block, flags
        What it was made of.
    """

    def __init__(
        self, view: View, f: Callable[..., Any], block: bool | None = None, **flags: Any
    ) -> None:
        self.view = view
        self.func = f
        self.block = block
        self.flags = flags
        self.__name__ = name_of(f)
        self.__doc__ = f"{type(self).__name__} of {self.__name__}\n\n{f.__doc__ or ''}".rstrip()
        with suppress(ValueError, TypeError):
            self.__signature__ = inspect.signature(f)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function there; what comes back is as for `View.apply`."""
        block = self.view.block if self.block is None else self.block
        with self.view.temp_flags(block=block, **self.flags):
            return self.view.apply(self.func, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.__name__} on {self.view}>"


class ParallelFunction(RemoteFunction):
    """A function that gets parts of sequences on the engines of a view; see `parallel`.

    Parameters
    ----------
    view, f, dist, block, ordered
        As in `parallel`.
    chunksize
        Items in a part, for load-balanced views.
    return_exceptions
        Whether an exception takes the place of the result of a part.
    **flags
        Flags of the view during calls.
    """

    def __init__(
        self,
        view: View,
        f: Callable[..., Any],
        dist: Dist = "b",
        block: bool | None = None,
        chunksize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        **flags: Any,
    ) -> None:
        super().__init__(view, f, block=block, **flags)
        self.dist = dist
        self.chunksize = chunksize
        self.ordered = ordered
        self.return_exceptions = return_exceptions
        self.mapObject = map_of(dist)

    def __call__(self, *sequences: Any) -> Any:
        """Call the function with each part of the sequences, which are all of the same length.

        Returns
        -------
        AsyncMapResult
            Whose parts are joined; or, if it blocks, what they are joined to.
        """
        lengths = [len(each) for each in sequences if hasattr(each, "__len__")]
        if len(set(lengths)) > 1:
            raise ValueError(f"all sequences must be of the same length, but they have {lengths}")
        return self._run((self.func,), sequences)

    def map(self, *sequences: Any) -> Any:
        """Call the function for each item of the sequences."""
        return self._run((remotecode.map_chunk, serialize.PrePickled(self.func)), sequences)

    def _run(self, call: tuple[Any, ...], sequences: tuple[Any, ...]) -> Any:
        from .balancedview import LoadBalancedView

        view: Any = self.view
        options: dict[str, Any] = {"return_exceptions": self.return_exceptions}
        if isinstance(view, LoadBalancedView):
            options |= {"chunksize": self.chunksize, "ordered": self.ordered}
        elif self.chunksize:
            warnings.warn("chunksize has no effect unless calls are load-balanced", stacklevel=3)
        block = view.block if self.block is None else self.block
        with view.temp_flags(block=block, **self.flags):
            return view.map_parts(
                *(call, as_sequences(sequences), self.dist, self.__name__), block=block, **options
            )
