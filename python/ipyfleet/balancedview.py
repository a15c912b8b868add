"""Views whose calls go to whichever engine is free."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast

from . import remotecode, serialize
from .asyncresult import AsyncResult
from .checks import require_type
from .chunkedmap import send_guided, send_rest
from .chunking import ChunkPolicy, FixedChunks, GuidedChunks
from .dependency import Dependency, msg_ids_of
from .lazymap import LazyMapIterator
from .mapping import as_sequences, map_of
from .mapresult import AsyncMapResult
from .view import View, name_of, track_buffers
from .waiting import Seconds

if TYPE_CHECKING:
    from ._native import Request
    from .client import Client

__all__ = ["LoadBalancedView"]

_PRIORITY_MAX = 1_000_000
# With chunksize="auto" each engine gets about so many chunks; the last ones even out the load.
_CHUNKS_PER_ENGINE = 32
_V = TypeVar("_V", bound="LoadBalancedView")


def wire_dependency(flag: Any) -> list[str] | dict[str, Any]:
    """Return the value of ``after`` or ``follow`` as the scheduler reads it."""
    if isinstance(flag, Dependency):
        return flag.as_dict()
    if isinstance(flag, Mapping):
        return dict(cast("Mapping[str, Any]", flag))
    return [] if flag is None else msg_ids_of(flag)


def check_flags(flags: Mapping[str, Any]) -> None:
    """Refuse values that the scheduler could not read.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type, or out of range.
    """
    numbers = {"retries": int, "timeout": int | float, "run_timeout": int | float}
    for name, kinds in numbers.items():
        value = flags.get(name, 0)
        if name == "timeout" and value is None:
            continue
        if not isinstance(value, kinds):
            raise TypeError(f"{name} is a number, not {value!r}")
        if value < 0:
            raise ValueError(f"{name} is not negative, but here it is {value!r}")
    priority = flags.get("priority", 0)
    if not isinstance(priority, int):
        raise TypeError(f"priority is a whole number, not {priority!r}")
    if abs(priority) > _PRIORITY_MAX:
        raise ValueError(f"priority is within -1000000 and 1000000, but here {priority!r}")
    for name, amount in dict(flags.get("resources") or {}).items():
        if not isinstance(name, str) or not isinstance(amount, int | float) or not amount >= 0:
            raise ValueError(f"resources are numbers from 0, but {name!r} is {amount!r}")
    for name in ("after", "follow"):
        try:
            wire_dependency(flags.get(name))
        except TypeError as failure:
            raise ValueError(f"{name} is {failure}") from None


class LoadBalancedView(View):
    """Calls that the scheduler gives to the engine with the least to do.

    Attributes
    ----------
    targets : list of int or None
        The engines to choose from; None means all.
    retries : int
        How often a call that failed is tried again, each time on another engine.
    timeout : float
        Seconds that a call may wait for an engine before it fails with ``TaskTimeout``; 0 and None
        mean no limit.
    after : AsyncResult, str, Dependency, list of these, or None
        Calls of load-balanced views that have to end before this one begins.
    follow : AsyncResult, str, Dependency, list of these, or None
        Calls on whose engine this one has to run.
    priority : int
        Calls with a higher one begin earlier; from -1,000,000 to 1,000,000.
    run_timeout : float
        Seconds that a call may run. Then it is interrupted, and if that does not help its engine is
        killed; it fails with ``TaskTimeout``. 0 means no limit.
    resources : dict or None
        What a call needs of its engine while it runs, e.g. ``{"gpu": 1}``.
    """

    _flag_names: ClassVar[tuple[str, ...]] = (
        *(*View._flag_names, "retries", "timeout", "after", "follow"),
        *("priority", "run_timeout", "resources"),
    )

    def __init__(self, client: Client, socket: Any = None, **flags: Any) -> None:
        self.retries: int = 0
        self.timeout: Seconds | None = 0.0
        self.after: Any = None
        self.follow: Any = None
        self.priority: int = 0
        self.run_timeout: Seconds = 0.0
        self.resources: Mapping[str, float] | None = None
        self._known_metadata: tuple[Any, str] | None = None
        super().__init__(client, socket, **flags)

    def set_flags(self: _V, **kwargs: Any) -> _V:
        """Set flags by name; returns the view.

        Raises
        ------
        KeyError, TypeError, ValueError
            If there is no such flag, or its value is of the wrong type or out of range.
        """
        check_flags(kwargs)
        return super().set_flags(**kwargs)

    def __len__(self) -> int:
        return len(self.client) if self.targets is None else len(self._target_ids())

    def _target_ids(self) -> list[int]:
        return self.client.connection.resolve(self.targets)[1]

    # ---- sending ------------------------------------------------------------------------------

    def _metadata(self, label: str | None = None) -> str:
        label = self.label if label is None else label
        flags = (self.timeout, self.retries, label, self.priority, self.run_timeout)
        known = self.targets is None and not (self.after or self.follow or self.resources)
        if known and self._known_metadata and self._known_metadata[0] == flags:
            return self._known_metadata[1]
        uuids = [] if self.targets is None else self.client.connection.resolve(self.targets)[0]
        fields: dict[str, Any] = {
            "after": wire_dependency(self.after),
            "follow": wire_dependency(self.follow),
            "timeout": float(self.timeout or 0.0),
            "targets": uuids,
            "retries": self.retries,
            "label": label,
        }
        own = {
            "priority": self.priority,
            "run_timeout": float(self.run_timeout),
            "resources": dict(self.resources or {}),
        }
        fields |= {name: value for name, value in own.items() if value}
        text = json.dumps(fields)
        if known:
            self._known_metadata = (flags, text)
        return text

    def _submit(self, f: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AsyncResult:
        connection = self.client.connection
        buffers = connection.packer.pack(f, args, kwargs)
        trackers = None
        if self.track:
            buffers, trackers = track_buffers(buffers)
        request = connection.native.apply("", self._metadata(), buffers)
        self._sent.append(request.number)
        result = AsyncResult(self.client, request, name_of(f))
        if not self.keep_results:
            result.keep_results = False
        if trackers:
            result.trackers = trackers
        return result

    # ---- maps ---------------------------------------------------------------------------------

    def _chunk_length(self, chunksize: int | Literal["auto"] | None, count: int) -> int:
        if chunksize == "auto":
            return max(1, count // (_CHUNKS_PER_ENGINE * max(1, len(self))))
        if chunksize is None:
            return 1
        require_type(chunksize, int, "chunksize is a number or 'auto'")
        if chunksize < 1:
            raise ValueError(f"chunksize is at least 1, not {chunksize}")
        return chunksize

    def map(
        self,
        f: Callable[..., Any],
        *sequences: Any,
        block: bool | None = None,
        chunksize: int | Literal["auto"] = 1,
        ordered: bool = True,
        return_exceptions: bool = False,
        label: str | None = None,
        keep_results: bool | None = None,
    ) -> Any:
        """Call ``f`` for each item; the scheduler places each chunk of items.

        Parameters
        ----------
        f
            The function; it gets one argument from each sequence.
        *sequences
            The map ends with the shortest.
        block
            Whether to wait; by default as `block` of the view.
        chunksize
            Items in one task. With "auto" the first items are timed, for 20 ms at most, and then so
            many go together that they take about 10 ms, and fewer towards the end.
        ordered
            Whether iterating over the result keeps the order of the input; otherwise chunks come
            as they finish. The list after waiting is always in order.
        return_exceptions
            Whether an exception takes the place of the results of its chunk.
        label
            By default that of the view.
        keep_results
            False to let go of each chunk of results when it was iterated over, and of all after
            ``get``; by default that of the view.

        Returns
        -------
        AsyncMapResult
            Or, after waiting, the list of results.

        Raises
        ------
        ValueError
            If `chunksize` is less than one, or there is no sequence.
        """
        lists = as_sequences(sequences)
        count = len(lists[0])
        apply = self.client.connection.native.apply
        pack = self.client.connection.packer.pack
        metadata = self._metadata(label)
        function = serialize.PrePickled(f)
        sizes: list[int] | None = None
        requests: list[Request]

        def send(start: int, size: int) -> Request:
            chunk = [each[start : start + size] for each in lists]
            return apply("", metadata, pack(remotecode.map_chunk, (function, *chunk), {}))

        if chunksize == "auto":
            requests, sizes = send_guided(send, count, len(self))
        elif (length := self._chunk_length(chunksize, count)) > 1:
            requests, sizes = send_rest(send, FixedChunks(length), 0, count)
        else:
            requests = [apply("", metadata, pack(function, args, {})) for args in zip(*lists)]  # noqa: B905
        result = self._map_result(requests, sizes, name_of(f), ordered, return_exceptions)
        if keep_results is not None:
            result.keep_results = keep_results
        return self._finish(result, block)

    def map_parts(
        self,
        call: tuple[Any, ...],
        sequences: Sequence[Any],
        dist: str,
        name: str,
        *,
        block: bool | None = None,
        chunksize: int | Literal["auto"] | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
    ) -> Any:
        """Call ``call[0](*call[1:], *parts)`` for the parts of sequences."""
        count = len(sequences[0])
        length = self._chunk_length(chunksize, count)
        parts = -(-count // length)
        splitter = map_of(dist)
        pack = self.client.connection.packer.pack
        apply, metadata = self.client.connection.native.apply, self._metadata()
        requests: list[Request] = []
        sizes: list[int] = []
        for index in range(parts):
            chunk = [splitter.getPartition(each, index, parts) for each in sequences]
            requests.append(apply("", metadata, pack(call[0], (*call[1:], *chunk), {})))
            sizes.append(len(chunk[0]))
        result = self._map_result(requests, sizes, name, ordered, return_exceptions, splitter)
        return self._finish(result, block)

    def _map_result(
        self,
        requests: list[Request],
        sizes: list[int] | None,
        name: str,
        ordered: bool,
        return_exceptions: bool,
        splitter: Any = None,
    ) -> AsyncMapResult:
        self._remember(requests)
        result = AsyncMapResult(
            *(self.client, requests, splitter, name, ordered, return_exceptions), chunk_sizes=sizes
        )
        result.keep_results = self.keep_results
        return result

    def imap(
        self,
        f: Callable[..., Any],
        *sequences: Any,
        ordered: bool = True,
        max_outstanding: int | Literal["auto"] = "auto",
        return_exceptions: bool = False,
        chunksize: int | Literal["auto"] = 1,
    ) -> LazyMapIterator:
        """Call ``f`` for each item of input that may be endless; nothing is kept of the past.

        Parameters
        ----------
        f
            The function; it gets one argument from each sequence.
        *sequences
            Any iterables. The map ends with the shortest.
        ordered
            Whether results come in the order of the input, or as they are there.
        max_outstanding
            How many items may be without a result at any time; 0 means no limit. With "auto" each
            engine has one call, or two if calls are chunks.
        return_exceptions
            Whether an exception takes the place of a result, or of the results of its chunk.
        chunksize
            Items in one call. With "auto" so many that they take about 10 ms, by the times of the
            chunks before; items of input that keeps one waiting are not held back for that.

        Returns
        -------
        iterator
            Over the results. Its ``cancel()`` takes no more input.

        Raises
        ------
        ValueError
            If there is no sequence, or a number is out of range.

        Examples
        --------
        >>> import itertools  # doctest: +SKIP
        >>> found = view.imap(is_prime, itertools.count(10**12))
        """
        if not sequences:
            raise ValueError("a map needs at least one sequence")
        items_max = 0 if max_outstanding == "auto" else max_outstanding
        if items_max < 0:
            raise ValueError(f"max_outstanding is not negative, but here it is {items_max}")
        engines = max(1, len(self))
        policy: ChunkPolicy | None = None
        if chunksize == "auto":
            policy = GuidedChunks(engines)
        elif self._chunk_length(chunksize, 0) > 1:
            policy = FixedChunks(chunksize)
        calls_max = (engines if policy is None else 2 * engines) if max_outstanding == "auto" else 0
        function = serialize.PrePickled(f)

        def submit(items: list[tuple[Any, ...]]) -> AsyncResult:
            if policy is None:
                return self._submit(function, items[0], {})
            columns = [list(column) for column in zip(*items)]  # noqa: B905
            return self._submit(remotecode.map_chunk, (function, *columns), {})

        inputs: Iterator[tuple[Any, ...]] = zip(*sequences)  # noqa: B905
        threaded = not all(isinstance(each, Sized) for each in sequences)
        return LazyMapIterator(
            *(submit, inputs, policy, items_max, calls_max),
            *(ordered, return_exceptions, threaded),
        )

    # ---- others' programs ---------------------------------------------------------------------

    def register_joblib_backend(
        self, name: str = "ipyparallel", make_default: bool = False
    ) -> None:
        """Make joblib use this view.

        Parameters
        ----------
        name
            What the backend is called in ``joblib.Parallel(backend=...)``.
        make_default
            Whether joblib uses it unless told otherwise.
        """
        from .joblib import register_view

        register_view(self, name, make_default)
