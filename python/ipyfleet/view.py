"""Views: the engines that calls go to, and how."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .asyncresult import AsyncResult
from .waiting import Seconds

if TYPE_CHECKING:
    from ._native import Request
    from .client import Client, Jobs
    from .connection import Targets
    from .executor import ViewExecutor
    from .mapping import Dist
    from .mapresult import AsyncMapResult
    from .remotefunction import ParallelFunction, RemoteFunction
    from .serialize import Buffer

__all__ = ["ResultList", "View"]

_HISTORY_MAX = 10_000
_V = TypeVar("_V", bound="View")


def name_of(f: Any) -> str:
    """Return a name for a callable."""
    return getattr(f, "__name__", None) or str(f)


def track_buffers(buffers: Sequence[Buffer]) -> tuple[list[Buffer], list[weakref.ref[memoryview]]]:
    """Return the buffers in a form that is only referred to as long as they are sent."""
    tracked: list[Buffer] = []
    trackers: list[weakref.ref[memoryview]] = []
    for buffer in buffers:
        if isinstance(buffer, memoryview):
            view = memoryview(buffer)
            trackers.append(weakref.ref(view))
            tracked.append(view)
        else:
            tracked.append(buffer)
    return tracked, trackers


class ResultList(list[Any]):
    """A list of results that also takes the calls for results that are still to come.

    `DirectView.apply_sync` returns it: code that goes on to wait for what it already has works.
    """

    def get(self, timeout: Seconds | None = None) -> ResultList:
        """Return the list itself."""
        return self

    def wait(self, timeout: Seconds | None = -1) -> bool:
        """Return True: nothing is to be waited for."""
        return True

    def wait_interactive(self, interval: Seconds = 0.1, timeout: Seconds | None = -1) -> None:
        """Return at once."""

    def ready(self) -> bool:
        """Return True."""
        return True

    successful = ready

    def __reduce__(self) -> tuple[Any, ...]:
        # On an engine it is a plain list.
        return list, (list(self),)


class View:
    """What views have in common; `Client` makes them.

    Attributes
    ----------
    client : Client
        The client that the view belongs to.
    targets
        The engines; see the subclasses.
    block : bool
        Whether `apply` and the like wait and return results instead of an `AsyncResult`.
    track : bool
        Whether `AsyncResult.sent` tells when arrays that were sent may be changed again.
    label : str or None
        A name for the tasks, which the hub keeps with them.
    keep_results : bool
        Whether results stay in memory after they were read; by default that of the client. See
        `AsyncResult`.
    """

    _flag_names: ClassVar[tuple[str, ...]] = ("targets", "block", "track", "label", "keep_results")

    def __init__(self, client: Client, socket: Any = None, **flags: Any) -> None:
        # `socket` has no use here; in IPython Parallel it is the connection that the view takes.
        self.client = client
        self.targets: Any = None
        self.block: bool = client.block
        self.keep_results: bool = client.keep_results
        self.track: bool = False
        self.label: str | None = None
        # Numbers and ranges of numbers cost less than ids, of which there is one for each task.
        self._sent: deque[int | range | str] = deque(maxlen=_HISTORY_MAX)
        self.set_flags(**flags)

    # ---- flags --------------------------------------------------------------------------------

    def set_flags(self: _V, **kwargs: Any) -> _V:
        """Set flags by name; returns the view.

        Raises
        ------
        KeyError
            If there is no such flag.
        """
        for name, value in kwargs.items():
            if name not in self._flag_names:
                raise KeyError(f"there is no flag {name!r}; flags are {self._flag_names}")
            setattr(self, name, value)
        return self

    @contextmanager
    def temp_flags(self, **kwargs: Any) -> Generator[None]:
        """Set flags for the body of a ``with`` statement."""
        saved = {name: getattr(self, name) for name in self._flag_names}
        try:
            self.set_flags(**kwargs)
            yield
        finally:
            for name, value in saved.items():
                setattr(self, name, value)

    def _blocks(self, block: bool | None) -> bool:
        return self.block if block is None else block

    # ---- calls --------------------------------------------------------------------------------

    def _submit(self, f: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AsyncResult:
        raise NotImplementedError(f"{type(self).__name__} does not say where calls go")

    def _finish(self, result: AsyncResult, block: bool | None) -> Any:
        return result.get() if self._blocks(block) else result

    def _get(self, result: AsyncResult) -> Any:
        return result.get()

    def apply(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``f(*args, **kwargs)`` there.

        Returns
        -------
        AsyncResult
            Or, if `block` is set, what `AsyncResult.get` returns or raises.
        """
        result = self._submit(f, args, kwargs)
        return self._get(result) if self.block else result

    def apply_async(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call ``f(*args, **kwargs)`` there and return an `AsyncResult` at once."""
        return self._submit(f, args, kwargs)

    def apply_sync(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``f(*args, **kwargs)`` there and return what `AsyncResult.get` returns."""
        return self._get(self._submit(f, args, kwargs))

    def map(self, f: Callable[..., Any], *sequences: Any, **kwargs: Any) -> Any:
        """Call a function for each item; see the subclasses for options."""
        raise NotImplementedError(f"{type(self).__name__} has no map")

    def map_async(self, f: Callable[..., Any], *sequences: Any, **kwargs: Any) -> AsyncMapResult:
        """Do as `map` with ``block=False``."""
        if "block" in kwargs:
            raise TypeError("map_async never blocks, so it takes no argument 'block'")
        return self.map(f, *sequences, block=False, **kwargs)

    def map_sync(self, f: Callable[..., Any], *sequences: Any, **kwargs: Any) -> list[Any]:
        """Do as `map` with ``block=True``."""
        if "block" in kwargs:
            raise TypeError("map_sync always blocks, so it takes no argument 'block'")
        return self.map(f, *sequences, block=True, **kwargs)

    def imap(self, f: Callable[..., Any], *sequences: Any, **kwargs: Any) -> Iterator[Any]:
        """Do as `map_async`, and return an iterator over the results."""
        return iter(self.map_async(f, *sequences, **kwargs))

    # ---- decorators and executors -------------------------------------------------------------

    def remote(
        self, block: bool | None = None, **flags: Any
    ) -> Callable[[Callable[..., Any]], RemoteFunction]:
        """Return a decorator for functions that then run there; see `ipyfleet.remote`."""
        from .remotefunction import remote

        return remote(self, block=self._blocks(block), **flags)

    def parallel(
        self, dist: Dist = "b", block: bool | None = None, **flags: Any
    ) -> Callable[[Callable[..., Any]], ParallelFunction]:
        """Return a decorator for functions of sequences; see `ipyfleet.parallel`."""
        from .remotefunction import parallel

        return parallel(self, dist=dist, block=self._blocks(block), **flags)

    @property
    def executor(self) -> ViewExecutor:
        """An executor of `concurrent.futures` for this view."""
        from .executor import ViewExecutor

        return ViewExecutor(self)

    # ---- what was called ----------------------------------------------------------------------

    def _remember(self, requests: Sequence[Request]) -> None:
        """Note the requests of one call for `history`."""
        if not requests:
            return
        first, last = requests[0].number, requests[-1].number
        if last - first == len(requests) - 1:
            self._sent.append(range(first, last + 1))
        else:  # another thread sent something in between
            self._sent.extend(request.number for request in requests)

    def _history(self) -> Iterator[str]:
        prefix = self.client.connection.msg_id_prefix
        for sent in self._sent:
            if isinstance(sent, str):
                yield sent
            else:
                numbers: Iterable[int] = (sent,) if isinstance(sent, int) else sent
                for number in numbers:
                    yield f"{prefix}{number}"

    @property
    def history(self) -> list[str]:
        """The message ids of calls of this view, oldest first; of the last 10,000 calls."""
        return list(self._history())

    @property
    def outstanding(self) -> set[str]:
        """The message ids of calls of this view that have no result yet."""
        return self.client.outstanding.intersection(self._history())

    @property
    def results(self) -> Mapping[str, Any]:
        """As `Client.results`."""
        return self.client.results

    # ---- what the client does -----------------------------------------------------------------

    def _targets_or_all(self, targets: Targets) -> Targets:
        chosen = self.targets if targets is None else targets
        return "all" if chosen is None else chosen

    def spin(self) -> None:
        """Do nothing: messages are received all the time."""
        self.client.spin()

    def wait(self, jobs: Jobs | None = None, timeout: Seconds | None = -1) -> bool:
        """Do as `Client.wait`, by default for all calls of the view."""
        return self.client.wait(self.outstanding if jobs is None else jobs, timeout)

    def queue_status(self, targets: Targets = None, verbose: bool = False) -> dict[Any, Any]:
        """Do as `Client.queue_status`, by default for the engines of the view."""
        return self.client.queue_status(self._targets_or_all(targets), verbose)

    def abort(
        self, jobs: Jobs | None = None, targets: Targets = None, block: bool | None = None
    ) -> AsyncResult | None:
        """Do as `Client.abort`, by default on the engines and for the calls of the view."""
        chosen = self.targets if targets is None else targets
        what = list(self.outstanding) if jobs is None else jobs
        return self.client.abort(what, chosen, self._blocks(block))

    def purge_results(self, jobs: Jobs = (), targets: Targets = ()) -> None:
        """Do as `Client.purge_results`; ``targets="all"`` means the engines of the view."""
        everything = targets is None or targets == "all"
        self.client.purge_results(jobs, self._targets_or_all(None) if everything else targets)

    def shutdown(
        self,
        targets: Targets = None,
        restart: bool = False,
        hub: bool = False,
        block: bool | None = None,
    ) -> None:
        """Do as `Client.shutdown`, by default for the engines of the view."""
        chosen = None if isinstance(targets, str) and targets == "all" else targets
        self.client.shutdown(self._targets_or_all(chosen), restart, hub, self._blocks(block))

    def get_result(
        self,
        indices_or_msg_ids: Jobs | None = None,
        block: bool | None = None,
        owner: bool = False,
    ) -> AsyncResult:
        """Do as `Client.get_result`; indices are those of the history of the view."""
        wanted = -1 if indices_or_msg_ids is None else indices_or_msg_ids
        if isinstance(wanted, int):
            wanted = self.history[wanted]
        elif not isinstance(wanted, str | AsyncResult):
            history = self.history
            wanted = [history[each] if isinstance(each, int) else each for each in wanted]
        return self.client.get_result(wanted, self._blocks(block), owner)

    def __len__(self) -> int:
        raise NotImplementedError

    def __repr__(self) -> str:
        text = str(self.targets)
        return f"<{type(self).__name__} {text if len(text) <= 16 else text[:12] + '...]'}>"
