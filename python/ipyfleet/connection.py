"""What a client shares with its views and results: the C++ client, engines, packed calls."""

from __future__ import annotations

import operator
import os
import pickle
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from . import _native, canning, error, remotecode, serialize

__all__ = ["CallPacker", "Connection", "Targets"]

Targets: TypeAlias = "int | str | slice | Sequence[int] | None"
Buffers: TypeAlias = "list[serialize.Buffer]"

# Functions of this package. They need the user namespace as their globals.
_PLAIN = frozenset((*remotecode.FUNCTIONS, serialize.use_pickle_module))
_CONSTANTS = frozenset((int, float, complex, str, bytes, bool, type(None)))


class CallPacker:
    """Packs calls, and keeps the pickles of functions that are called again and again.

    A function is packed anew when anything that travels with it has changed: its code, defaults,
    annotations or closure. Functions with values that can change inside (a closure over a list)
    are always packed anew, and so are all of them while another pickle module than the standard
    one is in use, because that sends the values of globals too.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[FunctionType, tuple[Any, serialize.PrePickled]] = (
            WeakKeyDictionary()
        )
        self._infos: dict[tuple[int, int], bytes] = {}

    @staticmethod
    def _parts(f: FunctionType) -> tuple[Any, ...] | None:
        """Return everything that travels with a function, or None if something can change."""
        closure: tuple[Any, ...] = ()
        if f.__closure__:
            try:
                closure = tuple(cell.cell_contents for cell in f.__closure__)
            except ValueError:  # a cell that is still empty
                return None
        defaults = f.__defaults__ or ()
        kwdefaults = f.__kwdefaults__ or {}
        annotations = f.__annotations__
        values = (*closure, *defaults, *kwdefaults.values(), *annotations.values())
        for value in values:
            if type(value) not in _CONSTANTS and getattr(value, "__module__", "") != "builtins":
                return None
        counts = (len(defaults), len(kwdefaults))
        return (f.__code__, f.__module__, f.__name__, *counts, *values, *kwdefaults, *annotations)

    @staticmethod
    def _same(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
        """Tell whether two functions are the same; 1 and True are equal but not the same."""
        return len(a) == len(b) and all(map(operator.is_, a, b))

    def pack_function(self, f: Any) -> Any:
        """Return the function in a form that is cheap to pack."""
        if type(f) is FunctionType and f in _PLAIN:
            return self._packed_plainly(f)
        if (
            type(f) is not FunctionType
            or canning.backend is not pickle
            or canning.can_map.get(FunctionType) is not canning.CannedFunction
        ):
            return f
        known = self._known.get(f)
        parts = self._parts(f)
        if known is not None and parts is not None and self._same(known[0], parts):
            return known[1]
        packed = serialize.PrePickled(f)
        if parts is not None:
            self._known[f] = (parts, packed)
        return packed

    def _packed_plainly(self, f: FunctionType) -> serialize.PrePickled:
        known = self._known.get(f)
        if known is None:
            known = self._known[f] = ((), serialize.pack_plainly(f))
        return known[1]

    def pack(self, f: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Buffers:
        """Return the frames of a call; `f` may come from `pack_function`."""
        function = f if isinstance(f, serialize.PrePickled) else self.pack_function(f)
        if kwargs or not isinstance(function, serialize.PrePickled):
            return serialize.pack_apply_message(function, args, kwargs)
        buffers: Buffers = []
        for arg in args:
            buffers += serialize.serialize_object(arg)
        counts = (len(args), len(buffers))
        info = self._infos.get(counts)
        if info is None:
            # The layout is pack_apply_message's; with an empty call only the counts are missing.
            names: list[str] = []
            fields = {"nargs": counts[0], "narg_bufs": counts[1], "kw_keys": names}
            info = pickle.dumps(fields, canning.PICKLE_PROTOCOL)
            if len(self._infos) < 1024:
                self._infos[counts] = info
        return [*function.buffers, info, *buffers]


class Connection:
    """The C++ client of a `Client`, and who is who among the engines.

    Attributes
    ----------
    native
        The C++ client.
    packer
        Makes the frames of calls.
    msg_id_prefix
        What stands before the number in our message ids.
    """

    def __init__(self, native: _native.Client) -> None:
        self.native = native
        self.msg_id_prefix = f"{native.session}_{os.getpid()}_"
        self.packer = CallPacker()
        self._version = -1
        self._engines: dict[int, str] = {}
        self._ids_by_uuid: dict[str, int] = {}

    def engines(self) -> dict[int, str]:
        """Return the uuids of the engines that are registered now, by rising id."""
        version = self.native.engines_version
        if version != self._version:
            engines = self.native.engines()
            # Results of engines that are gone still say where they ran.
            self._ids_by_uuid.update((uuid, engine_id) for engine_id, uuid in engines.items())
            self._engines, self._version = engines, version
        return self._engines

    def engine_id(self, uuid: str | None) -> int | None:
        """Return the id of an engine that is registered, or was."""
        if uuid is None:
            return None
        if uuid not in self._ids_by_uuid:
            self.engines()
        return self._ids_by_uuid.get(uuid)

    def resolve(self, targets: Targets) -> tuple[list[str], list[int]]:
        """Return the uuids and the ids of the engines that `targets` stands for.

        Raises
        ------
        NoEnginesRegistered
            If there are no engines.
        IndexError, TypeError
            If there is no such engine, or `targets` is of another type.
        """
        engines = self.engines()
        if not engines:
            raise error.NoEnginesRegistered("there are no engines")
        if type(targets) is int and targets in engines:  # by far the most frequent
            return [engines[targets]], [targets]
        ids = list(engines)
        chosen: list[Any]
        if targets is None or (isinstance(targets, str) and targets.lower() == "all"):
            chosen = ids
        elif isinstance(targets, str):
            raise TypeError(f"{targets!r} stands for no engines; the only such word is 'all'")
        elif isinstance(targets, slice):
            chosen = ids[targets]
        elif isinstance(targets, int):
            if targets < 0 and -targets > len(ids):
                raise IndexError(f"No such engine: {targets}")
            chosen = [ids[targets] if targets < 0 else targets]
        else:
            chosen = list(targets)
        for engine_id in chosen:
            if not isinstance(engine_id, int):
                raise TypeError(f"the id of an engine is an int, not {engine_id!r}")
            if engine_id not in engines:
                raise IndexError(f"No such engine: {engine_id}")
        return [engines[engine_id] for engine_id in chosen], chosen

    def requests_of(self, msg_ids: Sequence[str]) -> list[_native.Request]:
        """Return the requests of this client with these message ids.

        Raises
        ------
        KeyError
            If this client did not make a call, or has forgotten it.
        """
        found: list[_native.Request] = []
        for msg_id in msg_ids:
            request = self.native.find(msg_id)
            if request is None:
                raise KeyError(f"this client knows no call {msg_id!r}")
            found.append(request)
        return found

    def unwrap_exception(self, content: Mapping[str, Any]) -> error.RemoteError:
        """Return the error in the content of a reply, with the id of its engine."""
        failure = error.unwrap_exception(content)
        info = dict(failure.engine_info or {})
        if info and "engine_id" not in info:
            info["engine_id"] = self.engine_id(info.get("engine_uuid"))
            failure.engine_info = info
        return failure
