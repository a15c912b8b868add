"""Objects and calls to lists of buffers, and back.

An object becomes ``[pickle, buffer...]``: the pickle of its canned form, then every buffer larger
than a threshold, in order. Inside the pickle None marks the place of each buffer that was moved
out, so the receiver knows how many to take. A call is::

    [function, function buffers..., info, argument buffers..., keyword argument buffers...]

where info is the pickle of ``{"nargs": n, "narg_bufs": m, "kw_keys": [sorted names]}``.

Pickles name the classes of `ipyfleet.canning` by their wire names ``ipyparallel.…``. In an engine
these names are importable (`ipyfleet.compat.install`) and plain pickle does all the work. Elsewhere
they may not be, or may belong to a real ipyparallel; there `dumps` and `loads` translate.
"""

from __future__ import annotations

import copyreg
import importlib
import io
import pickle
import re
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any, TypeAlias, cast

from . import canning, error
from .canning import (
    PICKLE_PROTOCOL,
    CannedFunction,
    CannedObject,
    Globals,
    Reference,
    can,
    can_map,
    can_sequence,
    function_globals,
    sequence_types,
    uncan,
    uncan_map,
    uncan_sequence,
    use_cloudpickle,
    use_dill,
    use_pickle,
)

__all__ = [
    "PrePickled",
    "Reference",
    "can",
    "can_map",
    "deserialize_object",
    "dumps",
    "loads",
    "pack_apply_message",
    "serialize_object",
    "uncan",
    "uncan_map",
    "unpack_apply_message",
    "use_cloudpickle",
    "use_dill",
    "use_pickle",
    "use_pickle_module",
]

Buffer: TypeAlias = "bytes | bytearray | memoryview"

BUFFER_THRESHOLD = 1024
ITEM_THRESHOLD = 64

_CACHE_ENTRIES = 128
_CACHE_FUNCTION_BYTES_MAX = 64 * 1024


class PrePickled:
    """An object serialized ahead of time, because it will be sent more than once."""

    def __init__(self, obj: Any) -> None:
        self.buffers = serialize_object(obj)


def _public(namespace: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(namespace, name) for name in names}


# Wire module -> name -> our object. `ipyfleet.compat` makes the same names importable.
WIRE_NAMES: dict[str, dict[str, Any]] = {
    "ipyparallel.serialize.canning": _public(
        canning,
        *("CannedObject", "Reference", "CannedCell", "CannedFunction", "CannedPartial"),
        *("CannedClass", "CannedArray", "CannedBytes", "CannedMemoryView", "CannedBuffer"),
    ),
    "ipyparallel.serialize.codeutil": _public(canning, "code_ctor"),
    "ipyparallel.serialize.serialize": {"PrePickled": PrePickled},
    "ipyparallel.controller.dependency": _public(canning, "depend", "dependent"),
    "ipyparallel.error": _public(
        error,
        *("IPythonError", "KernelError", "EngineError", "NoEnginesRegistered", "TaskAborted"),
        *("TaskTimeout", "TimeoutError", "UnmetDependency", "ImpossibleDependency"),
        *("DependencyTimeout", "InvalidDependency", "RemoteError", "TaskRejectError"),
        *("CompositeError", "AlreadyDisplayedError", "SerializationError"),
    ),
}


# ---------------------------------------------------------------- pickling with wire names


class _WireModule:
    """Pickles as the import of a module that need not exist here."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self.name,)


class _WireGlobal:
    """Pickles as a global of a module that need not exist here.

    A pickler looks up every global it writes, and our classes cannot be found under their wire
    names outside an engine; an explicit ``getattr(import_module(...), name)`` is not looked up.
    """

    def __init__(self, module: _WireModule, name: str) -> None:
        self.module = module
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.module, self.name)

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f"{self.module.name}.{self.name} is a place holder for pickling only")


def _instance_reducer(made: _WireGlobal) -> Callable[[Any], tuple[Any, ...]]:
    def reduce(obj: Any) -> tuple[Any, ...]:
        state = obj.__getstate__() if isinstance(obj, CannedObject) else obj.__dict__
        return copyreg._reconstructor, (made, object, None), state  # type: ignore[attr-defined]

    return reduce


def _code_reducer(made: _WireGlobal) -> Callable[[CodeType], tuple[Any, ...]]:
    def reduce(code: CodeType) -> tuple[Any, ...]:
        return made, canning.reduce_code(code)[1]

    return reduce


def _make_reducers() -> dict[type, Callable[[Any], Any]]:
    reducers: dict[type, Callable[[Any], Any]] = {}
    for module_name, names in WIRE_NAMES.items():
        module = _WireModule(module_name)
        for name, obj in names.items():
            made = _WireGlobal(module, name)
            if obj is canning.code_ctor:
                reducers[CodeType] = _code_reducer(made)
            elif not issubclass(obj, BaseException):
                reducers.setdefault(obj, _instance_reducer(made))
    return reducers


_REDUCERS = _make_reducers()
_pickler_classes: dict[Any, type[pickle.Pickler]] = {}
_wire_names_importable = False


def use_importable_names(importable: bool) -> None:
    """Tell the serializer whether the wire names are importable and ours in this process."""
    global _wire_names_importable
    _wire_names_importable = importable


def _wire_pickler(module: Any) -> type[pickle.Pickler]:
    found = _pickler_classes.get(module)
    if found is None:
        base: Any = module.Pickler
        theirs: Any = getattr(base, "dispatch_table", None)
        # The pickler of the standard library shows only a slot here, which means the global table.
        known = cast("Any", theirs if isinstance(theirs, Mapping) else copyreg.dispatch_table)
        table: Mapping[Any, Any] = ChainMap(_REDUCERS, known)
        found = type("WirePickler", (base,), {"dispatch_table": table})
        _pickler_classes[module] = found
    return found


def dumps(obj: Any) -> bytes:
    """Pickle an object so that any peer finds our classes under their wire names."""
    module = canning.backend
    if _wire_names_importable or type(obj) in _SCALARS:
        return module.dumps(obj, PICKLE_PROTOCOL)
    out = io.BytesIO()
    _wire_pickler(module)(out, PICKLE_PROTOCOL).dump(obj)
    return out.getvalue()


def _import_wire_module(name: str, package: str | None = None) -> Any:
    names = WIRE_NAMES.get(name)
    return SimpleNamespace(**names) if names else importlib.import_module(name, package)


class _WireUnpickler(pickle.Unpickler):
    """Finds our classes under their wire names, whether or not ipyparallel is installed."""

    def find_class(self, module: str, name: str) -> Any:
        names = WIRE_NAMES.get(module)
        if names is not None and name in names:
            return names[name]
        if module == "importlib" and name == "import_module":
            return _import_wire_module
        return super().find_class(module, name)


_MENTIONS_WIRE_NAMES = re.compile(rb"ipyparallel\.").search


def loads(data: Buffer) -> Any:
    """Unpickle an object of any peer; the reverse of `dumps`.

    Parameters
    ----------
    data
        One pickle. A memoryview has to be contiguous.
    """
    if _wire_names_importable or not _MENTIONS_WIRE_NAMES(data):
        return canning.backend.loads(data)
    return _WireUnpickler(io.BytesIO(data)).load()


def pack_plainly(f: FunctionType) -> PrePickled:
    """Pack a function with the standard pickle, whichever module is in use for other objects.

    Its globals on the engine are then the user namespace if it belongs to ``__main__``, which other
    pickle modules do not see to.
    """
    out = io.BytesIO()
    pickler = pickle.Pickler if _wire_names_importable else _wire_pickler(pickle)
    pickler(out, PICKLE_PROTOCOL).dump(CannedFunction(f))
    packed = object.__new__(PrePickled)
    frames: list[Buffer] = [out.getvalue()]
    packed.buffers = frames
    return packed


def use_pickle_module(name: str) -> None:
    """Switch an engine of either kind to the pickle module `name`; meant for `view.apply`.

    Parameters
    ----------
    name
        ``"pickle"``, ``"cloudpickle"`` or ``"dill"``.
    """
    from importlib import import_module

    getattr(import_module("ipyparallel.serialize").canning, f"use_{name}")()


# It travels: both kinds of engine have the names it imports, and neither needs this module.
use_pickle_module.__module__ = "__main__"


# ---------------------------------------------------------------- single objects

_SCALARS = frozenset((int, float, complex, str, bool, type(None)))


def _extract_buffers(canned: Any, threshold: int, out: list[Buffer]) -> None:
    """Move the large buffers of a canned object to `out` and leave None in their places."""
    if not isinstance(canned, CannedObject):
        return
    buffers = getattr(canned, "buffers", None)
    if not buffers:
        return
    for i, buffer in enumerate(buffers):
        is_view = isinstance(buffer, memoryview)
        if (buffer.nbytes if is_view else len(buffer)) > threshold:
            buffers[i] = None
            out.append(buffer)
        elif is_view:
            buffers[i] = buffer.tobytes()


def serialize_object(
    obj: Any, buffer_threshold: int = BUFFER_THRESHOLD, item_threshold: int = ITEM_THRESHOLD
) -> list[Buffer]:
    """Serialize an object into a pickle and the large buffers it refers to.

    Parameters
    ----------
    obj
        Anything that can be canned and pickled, or a `PrePickled`.
    buffer_threshold
        Buffers with more bytes than this are sent as they are, without a copy.
    item_threshold
        Lists, tuples, sets and dicts with fewer items than this are canned item by item.

    Returns
    -------
    list
        The pickle, then the buffers.
    """
    cls = cast("type[Any]", type(obj))
    if cls in _SCALARS and cls not in can_map:
        return [dumps(obj)]
    if isinstance(obj, PrePickled):
        return list(obj.buffers)
    canned: Any
    buffers: list[Buffer] = []
    if cls in sequence_types and len(obj) < item_threshold:
        canned = can_sequence(obj)
        for item in canned:
            _extract_buffers(item, buffer_threshold, buffers)
    elif cls is dict and len(obj) < item_threshold:
        canned = _can_small_dict(obj, buffer_threshold, buffers)
    else:
        canned = can(obj)
        _extract_buffers(canned, buffer_threshold, buffers)
    return [dumps(canned), *buffers]


def _can_small_dict(obj: dict[Any, Any], threshold: int, out: list[Buffer]) -> Any:
    try:
        keys = sorted(obj)
    except TypeError:
        # Every receiver sorts the keys of a small dict again and would fail on these. It does not
        # do so when the dict comes inside a canned object.
        return CannedObject(obj)
    # The receiver takes the buffers in the order of the sorted keys; the dict keeps its own order.
    canned = {key: can(value) for key, value in obj.items()}
    for key in keys:
        _extract_buffers(canned[key], threshold, out)
    return canned


class _Reader:
    """Takes one buffer after the other."""

    def __init__(self, buffers: Sequence[Buffer], position: int = 0) -> None:
        self.buffers = buffers
        self.position = position

    def take(self) -> Buffer:
        position = self.position
        if position >= len(self.buffers):
            raise error.SerializationError(
                f"not enough buffers: the message has only {len(self.buffers)}"
            )
        self.position = position + 1
        return self.buffers[position]

    def restore(self, canned: Any) -> None:
        """Put the buffers that were moved out of a canned object back in."""
        buffers = getattr(canned, "buffers", None)
        if buffers:
            for i, buffer in enumerate(buffers):
                if buffer is None:
                    buffers[i] = self.take()

    def read_object(self, g: Globals | None) -> Any:
        return self.finish_object(loads(self.take()), g)

    def finish_object(self, canned: Any, g: Globals | None) -> Any:
        cls = cast("type[Any]", type(canned))
        if cls in _SCALARS:
            return canned
        if cls in sequence_types and len(canned) < ITEM_THRESHOLD:
            for item in canned:
                if isinstance(item, CannedObject):
                    self.restore(item)
            return uncan_sequence(canned, g)
        if cls is dict and len(canned) < ITEM_THRESHOLD:
            return self._finish_dict(canned, g)
        if isinstance(canned, CannedObject):
            self.restore(canned)
        return uncan(canned, g)

    def _finish_dict(self, canned: dict[Any, Any], g: Globals | None) -> dict[Any, Any]:
        try:
            keys = sorted(canned)
        except TypeError:
            keys = list(canned)
        for key in keys:
            if isinstance(canned[key], CannedObject):
                self.restore(canned[key])
        return {key: uncan(value, g) for key, value in canned.items()}


def deserialize_object(
    buffers: Iterable[Buffer], g: Globals | None = None
) -> tuple[Any, list[Buffer]]:
    """Rebuild an object that `serialize_object` took apart.

    Parameters
    ----------
    buffers
        The buffers of the object; more may follow.
    g
        Globals for the functions in it, and where `Reference` objects are looked up.

    Returns
    -------
    tuple
        The object, and the buffers that were not used.
    """
    found = list(buffers)
    if len(found) == 1:
        # Nearly all results of short calls: a scalar, with nothing to put back in.
        single = loads(found[0])
        if type(single) in _SCALARS:
            return single, []
        return _Reader(found, 1).finish_object(single, g), []
    reader = _Reader(found)
    obj = reader.read_object(g)
    return obj, list(reader.buffers[reader.position :])


# ---------------------------------------------------------------- calls


def pack_apply_message(
    f: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    buffer_threshold: int = BUFFER_THRESHOLD,
    item_threshold: int = ITEM_THRESHOLD,
) -> list[Buffer]:
    """Serialize a call; the frame layout is in the description of this module."""
    arg_buffers: list[Buffer] = []
    for arg in args:
        arg_buffers += serialize_object(arg, buffer_threshold, item_threshold)
    names = sorted(kwargs)
    kwarg_buffers: list[Buffer] = []
    for name in names:
        kwarg_buffers += serialize_object(kwargs[name], buffer_threshold, item_threshold)
    info = {"nargs": len(args), "narg_bufs": len(arg_buffers), "kw_keys": names}
    packed_info = pickle.dumps(info, PICKLE_PROTOCOL)
    return [*serialize_object(f), packed_info, *arg_buffers, *kwarg_buffers]


# Pickle of a simple function -> what it takes to make the function again. Maps send the same
# function thousands of times, and building its code object costs more than all the rest.
_functions: OrderedDict[bytes, tuple[Any, ...]] = OrderedDict()


def _is_constant(value: Any) -> bool:
    """Tell whether calls may share the value because nothing can change it."""
    if type(value) is tuple:
        return all(map(_is_constant, cast("tuple[Any, ...]", value)))
    if isinstance(value, type):
        return value.__module__ == "builtins"  # a user may define his own classes anew
    return type(value) in _SCALARS


def _remember(key: bytes, canned: CannedFunction) -> None:
    defaults, kwdefaults, annotations = canned.defaults, canned.kwdefaults, canned.annotations
    named: list[dict[str, Any]] = [kwdefaults or {}, annotations or {}]
    values: list[Any] = [*(defaults or ()), *(value for each in named for value in each.values())]
    if canned.closure or canned.buffers or not all(map(_is_constant, values)):
        return
    if (canned.module, canned.__name__) in canning.replacements:
        return
    shared_defaults = tuple(defaults) if defaults else None
    _functions[key] = (
        *(canned.code, canned.module, canned.__name__),
        *(shared_defaults, kwdefaults, annotations),
    )
    if len(_functions) > _CACHE_ENTRIES:
        _functions.popitem(last=False)


def _read_function(reader: _Reader, g: Globals | None) -> Any:
    frame = reader.take()
    if len(frame) > _CACHE_FUNCTION_BYTES_MAX:
        return reader.finish_object(loads(frame), g)
    key = bytes(frame)
    known = _functions.get(key)
    if known is None:
        canned = loads(key)
        if type(canned) is CannedFunction:
            _remember(key, canned)
        return reader.finish_object(canned, g)
    _functions.move_to_end(key)
    code, module, name, defaults, kwdefaults, annotations = known
    made = FunctionType(code, function_globals(module, code, g), name, defaults)
    if kwdefaults:
        made.__kwdefaults__ = dict(kwdefaults)
    if annotations:
        made.__annotations__ = dict(annotations)
    return made


def unpack_apply_message(
    buffers: Sequence[Buffer], g: Globals | None = None, copy: bool = True
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Rebuild the function, the arguments and the keyword arguments of a call.

    Parameters
    ----------
    buffers
        The frames of the message after the content.
    g
        Globals for functions of ``__main__``; `Reference` arguments are looked up here.
    copy
        Accepted for compatibility; buffers are never copied.
    """
    if len(buffers) < 2:
        raise AssertionError("not enough buffers!")
    reader = _Reader(buffers)
    f = _read_function(reader, g)
    info = pickle.loads(reader.take())
    args_end = reader.position + info["narg_bufs"]
    args = tuple([reader.read_object(g) for _ in range(info["nargs"])])
    if reader.position != args_end:
        raise error.SerializationError("the arguments do not use the buffers announced for them")
    kwargs = {key: reader.read_object(g) for key in info["kw_keys"]}
    if reader.position != len(buffers):
        raise error.SerializationError("buffers are left over after the last keyword argument")
    return f, args, kwargs
