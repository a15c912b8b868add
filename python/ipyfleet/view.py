"""Views: the engines that calls go to, and how."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from . import serialize
from .asyncresult import AsyncMapResult, AsyncResult, Seconds
from .dependency import Dependency, msg_ids_of

if TYPE_CHECKING:
    from ._native import Request
    from .client import Client, Jobs
    from .connection import Targets

__all__ = ["DirectView", "LoadBalancedView", "View"]

Dist = Literal["b", "r"]
_PRIORITY_MAX = 1_000_000
_V = TypeVar("_V", bound="View")


# ---- functions that run on engines --------------------------------------------------------------
# They travel by value and belong to __main__, so that there their globals are the user namespace.


def _map(f: Any, *sequences: Any) -> list[Any]:
    return [f(*args) for args in zip(*sequences)]  # noqa: B905 - as the builtin map does


def _push(**namespace: Any) -> None:
    globals().update(namespace)


def _pull(names: Any) -> Any:
    if isinstance(names, str):
        return eval(names, globals())
    return [eval(name, globals()) for name in names]


for _function in (_map, _push, _pull):
    _function.__module__ = "__main__"
    _function.__annotations__ = {}


# ---- splitting and joining ----------------------------------------------------------------------


def _split(sequence: Any, parts: int, dist: Dist) -> list[Any]:
    """Split a sequence into so many parts whose lengths differ by one at most."""
    if dist == "r":
        return [sequence[part::parts] for part in range(parts)]
    if dist != "b":
        raise ValueError(f"dist is 'b' (blocks) or 'r' (round robin), not {dist!r}")
    base, more = divmod(len(sequence), parts)
    bounds = [part * base + min(part, more) for part in range(parts + 1)]
    return [sequence[low:high] for low, high in pairwise(bounds)]


def _is_array(value: Any) -> bool:
    return type(value).__module__ == "numpy" and hasattr(value, "__array_interface__")


def _joiner(dist: Dist) -> Callable[[list[Any]], Any]:
    def join(parts: list[Any]) -> Any:
        if parts and all(_is_array(part) and part.ndim > 0 for part in parts):
            import numpy

            if dist == "b":
                return numpy.concatenate(parts)
            shape = (sum(map(len, parts)), *parts[0].shape[1:])
            joined = numpy.empty(shape, dtype=numpy.result_type(*parts))
            for index, part in enumerate(parts):
                joined[index :: len(parts)] = part
            return joined
        if not all(isinstance(part, list | tuple) for part in parts):
            return parts
        if dist == "b":
            return list(chain.from_iterable(parts))
        longest = max(map(len, parts), default=0)
        return [part[row] for row in range(longest) for part in parts if row < len(part)]

    return join


def _as_sequences(sequences: Iterable[Any]) -> list[Any]:
    """Return what can be sliced, all as long as the shortest."""
    if not sequences:
        raise ValueError("a map needs at least one sequence")
    lists = [each if hasattr(each, "__getitem__") else list(each) for each in sequences]
    shortest = min(map(len, lists))
    return [each if len(each) == shortest else each[:shortest] for each in lists]


def _wire_dependency(flag: Any) -> list[str] | dict[str, Any]:
    if isinstance(flag, Dependency):
        return flag.as_dict()
    return [] if flag is None else msg_ids_of(flag)


def _name_of(f: Any) -> str:
    return getattr(f, "__name__", None) or str(f)


# ---- views --------------------------------------------------------------------------------------


class View:
    """What views have in common; use `Client.direct_view` or `Client.load_balanced_view`.

    Attributes
    ----------
    block : bool
        Whether `apply` and the like wait and return results instead of an `AsyncResult`.
    label : str or None
        A name for the tasks, which the hub keeps with them.
    """

    _flag_names: ClassVar[tuple[str, ...]] = ("targets", "block", "label")

    def __init__(self, client: Client, targets: Any, **flags: Any) -> None:
        self.client = client
        self.targets: Any = targets
        self.block: bool = client.block
        self.label: str | None = None
        self.set_flags(**flags)

    def set_flags(self: _V, **flags: Any) -> _V:
        """Set flags by name; returns the view.

        Raises
        ------
        KeyError
            If there is no such flag.
        """
        for name, value in flags.items():
            if name not in self._flag_names:
                raise KeyError(f"there is no flag {name!r}; flags are {self._flag_names}")
            setattr(self, name, value)
        return self

    @contextmanager
    def temp_flags(self, **flags: Any) -> Generator[None]:
        """Set flags for the body of a ``with`` statement."""
        saved = {name: getattr(self, name) for name in self._flag_names}
        try:
            self.set_flags(**flags)
            yield
        finally:
            self.set_flags(**saved)

    def _submit(self, f: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AsyncResult:
        raise NotImplementedError(f"{type(self).__name__} does not say where calls go")

    def apply(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``f(*args, **kwargs)`` there.

        Returns
        -------
        AsyncResult
            Or, if `block` is set, what `AsyncResult.get` returns or raises.
        """
        result = self._submit(f, args, kwargs)
        return result.get() if self.block else result

    def apply_async(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call ``f(*args, **kwargs)`` there and return an `AsyncResult` at once."""
        return self._submit(f, args, kwargs)

    def apply_sync(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``f(*args, **kwargs)`` there and return what `AsyncResult.get` returns."""
        return self._submit(f, args, kwargs).get()

    def map(self, f: Callable[..., Any], *sequences: Any, **options: Any) -> Any:
        """Call a function for each item; see the subclasses for `options`."""
        raise NotImplementedError(f"{type(self).__name__} has no map")

    def map_async(self, f: Callable[..., Any], *sequences: Any, **options: Any) -> AsyncMapResult:
        """Do as `map` with ``block=False``."""
        return self.map(f, *sequences, block=False, **options)

    def map_sync(self, f: Callable[..., Any], *sequences: Any, **options: Any) -> list[Any]:
        """Do as `map` with ``block=True``."""
        return self.map(f, *sequences, block=True, **options)

    def queue_status(self, targets: Targets = None, verbose: bool = False) -> dict[Any, Any]:
        """Do as `Client.queue_status`, by default for the engines of the view."""
        chosen = self.targets if targets is None else targets
        return self.client.queue_status("all" if chosen is None else chosen, verbose)

    def abort(
        self, jobs: Jobs, targets: Targets = None, block: bool | None = None
    ) -> AsyncResult | None:
        """Do as `Client.abort`, by default on the engines of the view."""
        block = self.block if block is None else block
        return self.client.abort(jobs, self.targets if targets is None else targets, block)

    def shutdown(
        self, targets: Targets = None, hub: bool = False, block: bool | None = None
    ) -> None:
        """Do as `Client.shutdown`, by default for the engines of the view."""
        chosen = self.targets if targets is None else targets
        block = self.block if block is None else block
        self.client.shutdown("all" if chosen is None else chosen, hub, block)

    def get_result(self, msg_ids: Jobs = -1, block: bool | None = None) -> AsyncResult:
        """Do as `Client.get_result`."""
        return self.client.get_result(msg_ids, self.block if block is None else block)

    def __repr__(self) -> str:
        text = str(self.targets)
        return f"<{type(self).__name__} {text if len(text) <= 16 else text[:12] + '...]'}>"


class DirectView(View):
    """Explicit engines; a call runs on each of them.

    Calls on one engine run in the order in which they were made. Results are a list in the order
    of the targets, or a single value if the view was made for a single engine (``rc[0]``).

    Attributes
    ----------
    targets : int, list of int or "all"
        The engines.
    """

    def __len__(self) -> int:
        if isinstance(self.targets, int):
            return 1
        return len(self.client) if self.targets == "all" else len(self.targets)

    def _choose(self, targets: Targets) -> tuple[list[str], list[int], bool]:
        chosen = self.targets if targets is None else targets
        return *self.client.connection.resolve(chosen), isinstance(chosen, int)

    def _metadata(self) -> str:
        return '{"label": null}' if self.label is None else json.dumps({"label": self.label})

    def _submit(
        self,
        f: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        targets: Targets = None,
        name: str | None = None,
    ) -> AsyncResult:
        uuids, ids, single = self._choose(targets)
        buffers = self.client.connection.packer.pack(f, args, kwargs)
        metadata = self._metadata()
        requests = [self.client.connection.native.apply(uuid, metadata, buffers) for uuid in uuids]
        return AsyncResult(self.client, requests, name or _name_of(f), ids, single)

    def _finish(self, result: AsyncResult, block: bool | None) -> Any:
        return result.get() if (self.block if block is None else block) else result

    def execute(
        self,
        code: str,
        silent: bool = True,
        targets: Targets = None,
        block: bool | None = None,
    ) -> AsyncResult:
        """Run source text in the namespace of each engine.

        Parameters
        ----------
        code
            The text; ``await`` is allowed outside of functions.
        silent
            Whether to leave out the value of the last expression and the execution counter.
        targets
            Engines to use instead of the view's.
        block
            Whether to wait for the end of the output too; by default as `block` of the view.

        Returns
        -------
        AsyncResult
            With an `ExecuteReply` for each engine; its ``stdout`` and ``stderr`` hold what was
            printed.

        Raises
        ------
        RemoteError
            If the code raised and it was waited for.
        """
        uuids, ids, single = self._choose(targets)
        content = json.dumps({"code": code, "silent": silent, "user_expressions": {}})
        metadata = self._metadata()
        send = self.client.connection.native.send
        requests = [send("engine", "execute_request", uuid, metadata, content) for uuid in uuids]
        result = AsyncResult(self.client, requests, "execute", ids, single)
        if self.block if block is None else block:
            result.get()
            result.wait_for_output()
        return result

    def push(
        self, namespace: Mapping[str, Any], targets: Targets = None, block: bool | None = None
    ) -> Any:
        """Set names in the namespace of each engine."""
        return self._finish(self._submit(_push, (), dict(namespace), targets, "push"), block)

    def update(self, namespace: Mapping[str, Any]) -> Any:
        """Do as `push`."""
        return self.push(namespace)

    def pull(
        self,
        names: str | Sequence[str],
        targets: Targets = None,
        block: bool | None = None,
    ) -> Any:
        """Return the values of names, or of expressions, from the namespace of each engine.

        Parameters
        ----------
        names
            One name, or several: then there is a list of values for each engine.
        targets, block
            As in `execute`.

        Raises
        ------
        RemoteError
            If there is no such name (``NameError``) and it was waited for.
        """
        asked = names if isinstance(names, str) else list(names)
        return self._finish(self._submit(_pull, (asked,), {}, targets, "pull"), block)

    def get(self, names: str | Sequence[str]) -> Any:
        """Do as `pull`, and wait for the values."""
        return self.pull(names, block=True)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.push({name: value}, block=self.block)

    def scatter(
        self,
        key: str,
        seq: Any,
        dist: Dist = "b",
        flatten: bool = False,
        targets: Targets = None,
        block: bool | None = None,
    ) -> Any:
        """Split a sequence and give each engine its part under the name `key`.

        Parameters
        ----------
        key
            The name.
        seq
            Anything with a length that can be sliced, arrays included.
        dist
            "b": one block after the other; "r": items in turn.
        flatten
            Whether a part with a single item becomes that item.
        targets, block
            As in `execute`.
        """
        uuids, ids, single = self._choose(targets)
        requests: list[Request] = []
        for uuid, part in zip(uuids, _split(seq, len(uuids), dist), strict=True):
            value = part[0] if flatten and len(part) == 1 else part
            buffers = self.client.connection.packer.pack(_push, (), {key: value})
            requests.append(self.client.connection.native.apply(uuid, self._metadata(), buffers))
        return self._finish(AsyncResult(self.client, requests, "scatter", ids, single), block)

    def gather(
        self,
        key: str,
        dist: Dist = "b",
        targets: Targets = None,
        block: bool | None = None,
    ) -> Any:
        """Join the parts that the engines have under the name `key`; the reverse of `scatter`.

        Lists, tuples and arrays are joined; anything else becomes a list of the values.
        """
        uuids, ids, _ = self._choose(targets)
        buffers = self.client.connection.packer.pack(_pull, (key,), {})
        metadata = self._metadata()
        requests = [self.client.connection.native.apply(uuid, metadata, buffers) for uuid in uuids]
        result = AsyncMapResult(
            self.client, requests, None, _joiner(dist), fname="gather", targets=ids
        )
        return self._finish(result, block)

    def map(
        self,
        f: Callable[..., Any],
        *sequences: Any,
        block: bool | None = None,
        return_exceptions: bool = False,
    ) -> Any:
        """Call ``f`` for each item, with one block of items on each engine.

        Parameters
        ----------
        f
            The function; it gets one argument from each sequence.
        *sequences
            The map ends with the shortest.
        block
            Whether to wait; by default as `block` of the view.
        return_exceptions
            Whether an exception takes the place of the results of its block.

        Returns
        -------
        AsyncMapResult
            Or, after waiting, the list of results.
        """
        parts = _as_sequences(sequences)
        uuids, ids, _ = self._choose(None)
        packer = self.client.connection.packer
        function = serialize.PrePickled(f)
        requests: list[Request] = []
        sizes: list[int] = []
        used: list[int] = []
        chunks = zip(*(_split(part, len(uuids), "b") for part in parts), strict=True)
        for uuid, engine_id, chunk in zip(uuids, ids, chunks, strict=True):
            if len(chunk[0]) == 0:
                continue
            buffers = packer.pack(_map, (function, *chunk), {})
            requests.append(self.client.connection.native.apply(uuid, self._metadata(), buffers))
            sizes.append(len(chunk[0]))
            used.append(engine_id)
        result = AsyncMapResult(
            *(self.client, requests, sizes),
            fname=_name_of(f),
            targets=used,
            return_exceptions=return_exceptions,
        )
        return self._finish(result, block)


class LoadBalancedView(View):
    """Calls that the scheduler gives to the engine with the least to do.

    Attributes
    ----------
    targets : list of int or None
        The engines to choose from; None means all.
    retries : int
        How often a call that failed is tried again, each time on another engine.
    timeout : float
        Seconds that a call may wait for an engine before it fails with ``TaskTimeout``; 0 means no
        limit.
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

    def __init__(self, client: Client, targets: Any = None, **flags: Any) -> None:
        self.retries: int = 0
        self.timeout: Seconds = 0.0
        self.after: Any = None
        self.follow: Any = None
        self.priority: int = 0
        self.run_timeout: Seconds = 0.0
        self.resources: Mapping[str, float] | None = None
        self._known_metadata: tuple[Any, str] | None = None
        super().__init__(client, targets, **flags)

    def set_flags(self: _V, **flags: Any) -> _V:
        """Set flags by name; returns the view.

        Raises
        ------
        KeyError, TypeError, ValueError
            If there is no such flag, or its value is of the wrong type or out of range.
        """
        numbers = {"retries": int, "timeout": int | float, "run_timeout": int | float}
        for name, kinds in numbers.items():
            value = flags.get(name, 0)
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
        return super().set_flags(**flags)

    def __len__(self) -> int:
        return len(self.client) if self.targets is None else len(self._target_ids())

    def _target_ids(self) -> list[int]:
        return self.client.connection.resolve(self.targets)[1]

    def _metadata(self) -> str:
        flags = (self.timeout, self.retries, self.label, self.priority, self.run_timeout)
        known = self.targets is None and not (self.after or self.follow or self.resources)
        if known and self._known_metadata and self._known_metadata[0] == flags:
            return self._known_metadata[1]
        uuids = [] if self.targets is None else self.client.connection.resolve(self.targets)[0]
        fields: dict[str, Any] = {
            "after": _wire_dependency(self.after),
            "follow": _wire_dependency(self.follow),
            "timeout": float(self.timeout),
            "targets": uuids,
            "retries": self.retries,
            "label": self.label,
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
        buffers = self.client.connection.packer.pack(f, args, kwargs)
        request = self.client.connection.native.apply("", self._metadata(), buffers)
        return AsyncResult(self.client, (request,), _name_of(f), single=True)

    def map(
        self,
        f: Callable[..., Any],
        *sequences: Any,
        block: bool | None = None,
        chunksize: int = 1,
        ordered: bool = True,
        return_exceptions: bool = False,
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
            Items in one task.
        ordered
            Whether iterating over the result keeps the order of the input; otherwise chunks come
            as they finish. The list after waiting is always in order.
        return_exceptions
            Whether an exception takes the place of the results of its chunk.

        Returns
        -------
        AsyncMapResult
            Or, after waiting, the list of results.

        Raises
        ------
        ValueError
            If `chunksize` is less than one, or there is no sequence.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize is at least 1, not {chunksize}")
        lists = _as_sequences(sequences)
        apply = self.client.connection.native.apply
        pack = self.client.connection.packer.pack
        metadata = self._metadata()
        function = serialize.PrePickled(f)
        count = len(lists[0])
        sizes: list[int] | None = None
        if chunksize == 1:
            requests = [apply("", metadata, pack(function, args, {})) for args in zip(*lists)]  # noqa: B905
        else:
            starts = range(0, count, chunksize)
            sizes = [min(chunksize, count - start) for start in starts]
            requests = [
                apply("", metadata, pack(_map, (function, *chunk), {}))
                for start in starts
                for chunk in [[each[start : start + chunksize] for each in lists]]
            ]
        result = AsyncMapResult(
            *(self.client, requests, sizes),
            fname=_name_of(f),
            ordered=ordered,
            return_exceptions=return_exceptions,
        )
        blocking = self.block if block is None else block
        return result.get() if blocking else result
