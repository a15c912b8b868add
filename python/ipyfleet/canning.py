"""Canning: wrapping objects so that they can be pickled, and unwrapping them on the other side.

Plain pickle sends functions and interactively defined classes by name, which is useless on a
machine that does not have them, and copies large arrays into the pickle. A canned object carries
the parts instead: the code of a function, the shape and dtype of an array, with large data kept in
the list ``buffers`` that the serializer moves out of the pickle.

The attribute names of the classes here, and their class paths ``ipyparallel.serialize.canning.X``,
are wire format: peers unpickle into their own classes of the same shape.
"""

from __future__ import annotations

import copy
import functools
import importlib
import pickle
import sys
from collections.abc import Callable, Iterable
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, cast

from .checks import require_type
from .error import UnmetDependency
from .outofband import joiner, take_apart

Globals = dict[str, Any]

# The module that does the pickling; `use_cloudpickle` and `use_dill` exchange it.
backend: Any = pickle

# Below, a table is as well copied into the pickle.
_TABLE_BYTES_MIN = 4096

PICKLE_PROTOCOL: int = pickle.DEFAULT_PROTOCOL

# Constructor arguments of CodeType, in order. Python 3.10 has neither of the two newer ones.
CODE_ATTRIBUTES: tuple[str, ...] = tuple(
    name
    for name in (
        *("argcount", "posonlyargcount", "kwonlyargcount", "nlocals", "stacksize", "flags"),
        *("code", "consts", "names", "varnames", "filename", "name", "qualname"),
        *("firstlineno", "linetable", "exceptiontable", "freevars", "cellvars"),
    )
    if hasattr(CodeType, f"co_{name}")
)


def code_ctor(*args: Any) -> CodeType:
    """Build a code object from the constructor arguments that came over the wire."""
    return CodeType(*args)


def reduce_code(code: CodeType) -> tuple[Any, ...]:
    """Reduce a code object to a call of `code_ctor`."""
    return code_ctor, tuple(getattr(code, f"co_{name}") for name in CODE_ATTRIBUTES)


def interactive(f: Any) -> Any:
    """Make a function behave as if it had been typed in at the prompt.

    Its globals become those of ``__main__``, so on an engine they are the user namespace.
    """
    if isinstance(f, FunctionType):
        main = __import__("__main__")
        made = FunctionType(f.__code__, main.__dict__, f.__name__, f.__defaults__, f.__closure__)
        made.__kwdefaults__ = f.__kwdefaults__
        made.__doc__ = f.__doc__
        f = made
    f.__module__ = "__main__"
    return f


# ---------------------------------------------------------------- canned classes


class CannedObject:
    """An object with some of its attributes canned.

    Parameters
    ----------
    obj
        The object; a shallow copy is kept.
    keys
        Attributes of `obj` to can.
    hook
        Called as ``hook(obj, g)`` after un-canning.
    """

    buffers: list[Any]

    def __init__(
        self, obj: Any, keys: Iterable[str] = (), hook: Callable[..., Any] | None = None
    ) -> None:
        self.keys = list(keys)
        self.obj = copy.copy(obj)
        self.hook = can(hook)
        for key in self.keys:
            setattr(self.obj, key, can(getattr(obj, key)))
        self.buffers = []

    def __getstate__(self) -> dict[str, Any]:
        # A memoryview cannot be pickled. One that is still here when the pickle is made belongs to
        # a nested object (a closure over an array, say), so its bytes have to travel inside.
        state = self.__dict__
        if any(isinstance(buffer, memoryview) for buffer in state.get("buffers", ())):
            state = dict(state)
            state["buffers"] = [
                b.tobytes() if isinstance(b, memoryview) else b for b in state["buffers"]
            ]
            if "wrap" in state:
                state["wrap"] = joiner(state["buffers"])
        return state

    def get_object(self, g: Globals | None = None) -> Any:
        """Return the object again; functions in it get `g` as their globals."""
        for key in self.keys:
            setattr(self.obj, key, uncan(getattr(self.obj, key), g))
        if self.hook:
            self.hook = uncan(self.hook, g)
            self.hook(self.obj, g)
        return self.obj


class Reference(CannedObject):
    """A name, or any expression, that is evaluated in the namespace of the receiver.

    Examples
    --------
    >>> view.apply(f, Reference("x[0]"))  # doctest: +SKIP
    """

    def __init__(self, name: str) -> None:
        require_type(name, str, "a Reference needs the name as a string")
        self.name = name
        self.buffers = []

    def __repr__(self) -> str:
        return f"<Reference: {self.name!r}>"

    def get_object(self, g: Globals | None = None) -> Any:
        """Evaluate the expression in `g`."""
        return eval(self.name, {} if g is None else g)


class CannedCell(CannedObject):
    """A cell of a closure."""

    def __init__(self, cell: CellType) -> None:
        self.cell_contents = can(cell.cell_contents)

    def get_object(self, g: Globals | None = None) -> CellType:
        """Return a new cell with the un-canned contents."""
        return CellType(uncan(self.cell_contents, g))


def function_globals(module: str, code: CodeType, g: Globals | None) -> Globals:
    """Return the globals for a function that says it comes from `module`.

    Functions of importable modules are bound to those modules; functions of ``__main__`` and the
    like belong to the namespace `g` of the receiver.
    """
    if module.startswith("__"):
        return {} if g is None else g
    found = sys.modules.get(module)
    if found is None:
        __import__(module)
        found = sys.modules[module]
    if type(found) is not ModuleType:
        # A module of `ipyfleet.compat` holds little until it hears what the function refers to.
        provide = getattr(type(found), "provide_globals", None)
        if provide is not None:
            provide(found, code)
    return found.__dict__


# Functions by module and name that are taken in the place of those that come with their code.
replacements: dict[tuple[str, str], Any] = {}


class CannedFunction(CannedObject):
    """A function: code, defaults, annotations, closure and the name of its module."""

    def __init__(self, f: FunctionType) -> None:
        require_type(f, FunctionType, "this is canned as a function", AssertionError)
        self.code = f.__code__
        self.defaults = [can(value) for value in f.__defaults__] if f.__defaults__ else None
        self.kwdefaults = can_dict(f.__kwdefaults__) if f.__kwdefaults__ else None
        self.annotations = can_dict(f.__annotations__) if f.__annotations__ else None
        self.closure = tuple(can(cell) for cell in f.__closure__) if f.__closure__ else None
        self.module = f.__module__ or "__main__"
        self.__name__ = f.__name__
        self.buffers = []

    def get_object(self, g: Globals | None = None) -> FunctionType:
        """Return a new function with the right globals."""
        replacement = replacements.get((self.module, self.__name__))
        if replacement is not None:
            return replacement
        g = function_globals(self.module, self.code, g)
        defaults = tuple(uncan(d, g) for d in self.defaults) if self.defaults else None
        closure = tuple(uncan(cell, g) for cell in self.closure) if self.closure else None
        made = FunctionType(self.code, g, self.__name__, defaults, closure)
        if self.kwdefaults:
            made.__kwdefaults__ = uncan_dict(self.kwdefaults, g)
        if self.annotations:
            made.__annotations__ = uncan_dict(self.annotations, g)
        return made


class CannedPartial(CannedObject):
    """A `functools.partial`; the buffers of its arguments are gathered in one list."""

    def __init__(self, f: functools.partial[Any]) -> None:
        require_type(f, functools.partial, "this is canned as a functools.partial", ValueError)
        self.func = can(f.func)
        self.args = [can(arg) for arg in f.args]
        self.keywords = {key: can(value) for key, value in f.keywords.items()}
        self.buffers = []
        self.arg_buffer_counts = [self._take_buffers(arg) for arg in self.args]
        self.keyword_buffer_counts = {
            key: self._take_buffers(self.keywords[key])
            for key in sorted(self.keywords)
            if isinstance(self.keywords[key], CannedObject)
        }

    def _take_buffers(self, canned: Any) -> int:
        """Move the buffers of an argument into the common list and return how many there were."""
        if not isinstance(canned, CannedObject):
            return 0
        taken = canned.buffers
        self.buffers.extend(taken)
        canned.buffers = []
        return len(taken)

    def get_object(self, g: Globals | None = None) -> functools.partial[Any]:
        """Return the partial again."""
        if self.buffers:
            rest = list(self.buffers)
            for canned, count in zip(self.args, self.arg_buffer_counts, strict=True):
                if count:
                    canned.buffers, rest = rest[:count], rest[count:]
            for key in sorted(self.keyword_buffer_counts):
                count = self.keyword_buffer_counts[key]
                if count:
                    self.keywords[key].buffers, rest = rest[:count], rest[count:]
            if rest:
                raise ValueError(f"{len(rest)} buffers of a partial belong to no argument")
            self.buffers = []
        args = [uncan(arg, g) for arg in self.args]
        keywords = {key: uncan(value, g) for key, value in self.keywords.items()}
        return functools.partial(uncan(self.func, g), *args, **keywords)


class CannedClass(CannedObject):
    """A class that was defined interactively, with all its parents."""

    def __init__(self, cls: type) -> None:
        require_type(cls, type, "this is canned as a class", AssertionError)
        self.name = cls.__name__
        self.old_style = False  # kept because peers expect the attribute
        self._canned_dict = {
            key: can(value)
            for key, value in cls.__dict__.items()
            if key not in ("__weakref__", "__dict__")
        }
        self.parents = [can(parent) for parent in cls.mro()[1:]]
        self.buffers = []

    def get_object(self, g: Globals | None = None) -> type:
        """Return a new class."""
        parents = tuple(uncan(parent, g) for parent in self.parents)
        return type(self.name, parents, uncan_dict(self._canned_dict, g))


class CannedArray(CannedObject):
    """A numpy array: shape, dtype and one buffer with its data.

    Arrays that have no plain memory image (object fields, nothing in them, dtypes that their
    description does not rebuild) are pickled, and the pickle is the buffer.
    """

    def __init__(self, obj: Any) -> None:
        self.shape = obj.shape
        self.dtype = obj.dtype.descr if obj.dtype.fields else obj.dtype.str
        self.pickled = self._needs_pickle(obj)
        if self.pickled:
            self.buffers = [backend.dumps(obj, PICKLE_PROTOCOL)]
            return
        from numpy import ascontiguousarray, uint8

        # Seen as bytes, because the buffer protocol knows no datetimes and not every byte order.
        plain: Any = ascontiguousarray(obj)
        self.buffers = [memoryview(plain.reshape(-1).view(uint8))]

    def _needs_pickle(self, obj: Any) -> bool:
        if obj.size == 0 or obj.ndim == 0 or obj.dtype.hasobject or obj.dtype.itemsize == 0:
            return True
        from numpy import dtype

        try:
            return bool(dtype(self.dtype) != obj.dtype)
        except (TypeError, ValueError):
            return True

    def get_object(self, g: Globals | None = None) -> Any:
        """Return the array; one that was not pickled is a read-only view of the buffer."""
        data = self.buffers[0]
        if self.pickled:
            return backend.loads(data)
        from numpy import frombuffer

        flat: Any = frombuffer(data, dtype=self.dtype)
        return flat.reshape(self.shape)


class CannedBytes(CannedObject):
    """A bytes object, kept out of the pickle when it is large."""

    def __init__(self, obj: Any) -> None:
        self.buffers = [obj]

    def get_object(self, g: Globals | None = None) -> Any:
        """Return the data as the type that was canned."""
        return self.wrap(self.buffers[0])

    @staticmethod
    def wrap(data: Any) -> Any:
        """Return `data` as bytes."""
        return data if isinstance(data, bytes) else memoryview(data).tobytes()


class CannedMemoryView(CannedBytes):
    """A memoryview; it comes back as a view of the received frame."""

    @staticmethod
    def wrap(data: Any) -> memoryview:
        """Return `data` as a memoryview."""
        return memoryview(data)


CannedBuffer = CannedMemoryView


# ---------------------------------------------------------------- functional dependencies


class dependent:  # noqa: N801 - class path is wire format
    """A function with a check that has to pass on the engine before the function may run."""

    def __init__(self, _wrapped_f: Any, _wrapped_df: Any, *dargs: Any, **dkwargs: Any) -> None:
        self.f = _wrapped_f
        self.__name__ = getattr(_wrapped_f, "__name__", "f")
        self.df = _wrapped_df
        self.dargs = dargs
        self.dkwargs = dkwargs

    def check_dependency(self) -> None:
        """Raise `UnmetDependency` if the check answers False."""
        if self.df(*self.dargs, **self.dkwargs) is False:
            raise UnmetDependency()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, without the check."""
        return self.f(*args, **kwargs)


class depend:  # noqa: N801
    """Decorator: run the function only where ``f(*args, **kwargs)`` is not False.

    Elsewhere the task fails with `UnmetDependency` and the scheduler tries another engine.
    """

    def __init__(self, _wrapped_f: Any, *args: Any, **kwargs: Any) -> None:
        self.f = _wrapped_f
        self.args = args
        self.kwargs = kwargs

    def __call__(self, f: Any) -> dependent:
        """Return the function with the check."""
        return dependent(f, self.f, *self.args, **self.kwargs)


def _require(*modules: str, **mapping: Any) -> bool:
    """Import `modules` and define `mapping` in the user namespace; the check of `require`."""
    # Imported here because this function travels: its globals are the engine's user namespace.
    from importlib import import_module

    user_ns = globals()
    for name in modules:
        try:
            exec(f"import {name}", user_ns)
        except ImportError:
            raise import_module("ipyparallel.error").UnmetDependency(name) from None
    for name, canned in mapping.items():
        user_ns[name] = import_module("ipyparallel.serialize").uncan(canned, user_ns)
    return True


_require.__module__ = "__main__"


def require(*objects: Any, **mapping: Any) -> depend:
    """Decorator: import modules and define objects on the engine before the function runs.

    Parameters
    ----------
    *objects
        Modules or their names, and functions or classes, which keep their own name.
    **mapping
        Other objects, by the name they get on the engine.
    """
    names: list[str] = []
    for obj in objects:
        if isinstance(obj, str):
            names.append(obj)
        elif isinstance(obj, ModuleType):
            names.append(obj.__name__)
        elif hasattr(obj, "__name__"):
            mapping[obj.__name__] = obj
        else:
            raise TypeError(
                f"require() takes modules and functions; give a {type(obj).__name__} by keyword"
            )
    return depend(_require, *names, **{name: can(obj) for name, obj in mapping.items()})


def _uncan_dependent_hook(dep: dependent, g: Globals | None = None) -> None:
    dep.check_dependency()


# The hook is canned with its code and bound to this module on the receiving side.
_uncan_dependent_hook.__module__ = "ipyparallel.serialize.canning"


def can_dependent(obj: dependent) -> CannedObject:
    """Can a function with a dependency; un-canning it performs the check."""
    return CannedObject(obj, keys=("f", "df"), hook=_uncan_dependent_hook)


# ---------------------------------------------------------------- can and uncan


def can_class(obj: type) -> Any:
    """Can a class of ``__main__``; others are left to pickle, which sends their name."""
    return CannedClass(obj) if obj.__module__ == "__main__" else obj


def can_table(obj: Any) -> Any:
    """Can a table or column of pandas: its data are not copied into the pickle.

    Small ones are left to pickle.
    """
    parts = take_apart(obj, backend.dumps, _TABLE_BYTES_MIN)
    if parts is None:
        return obj
    canned = CannedBytes(None)
    canned.buffers = parts
    # In the place of the method of the class, for peers too.
    canned.__dict__["wrap"] = joiner(parts)
    return canned


def istype(obj: Any, check: type | tuple[type, ...]) -> bool:
    """Like isinstance, but subclasses do not count."""
    return type(obj) in check if isinstance(check, tuple) else type(obj) is check


sequence_types: tuple[type, ...] = (list, tuple, set)

# What to can and how. Keys may also be dotted names of classes, so that naming numpy here does not
# import it. Users may add their own types.
can_map: dict[Any, Callable[[Any], Any]] = {
    "numpy.ndarray": CannedArray,
    "pandas.DataFrame": can_table,
    "pandas.Series": can_table,
    FunctionType: CannedFunction,
    functools.partial: CannedPartial,
    bytes: CannedBytes,
    memoryview: CannedMemoryView,
    CellType: CannedCell,
    type: can_class,
    dependent: can_dependent,
}

# These can only be canned if a user asks for it in can_map; anything else may have a dotted name.
_PLAIN = frozenset((int, float, complex, str, bool, type(None), list, tuple, dict, set))


def _canner_by_name(cls: type) -> Callable[[Any], Any] | None:
    for key in [key for key in can_map if isinstance(key, str)]:
        module, _, name = key.rpartition(".")
        # Nobody can hold an instance of a class whose module is not loaded.
        if getattr(sys.modules.get(module), name, None) is cls:
            can_map[cls] = can_map.pop(key)
            return can_map[cls]
    return None


def can(obj: object) -> Any:
    """Wrap an object for pickling; most objects are returned as they are."""
    cls = type(obj)
    canner = can_map.get(cls)
    if canner is None:
        if cls in _PLAIN:
            return obj
        canner = _canner_by_name(cls)
        if canner is None:
            return obj
    return canner(obj)


def can_dict(obj: Any) -> Any:
    """Can the values of a dict."""
    if type(obj) is not dict:
        return obj
    items = cast("dict[Any, Any]", obj)
    return {key: can(value) for key, value in items.items()}


def can_sequence(obj: Any) -> Any:
    """Can the items of a list, tuple or set."""
    return type(obj)([can(item) for item in obj]) if type(obj) in sequence_types else obj


def uncan_dict(obj: Any, g: Globals | None = None) -> Any:
    """Un-can the values of a dict."""
    if type(obj) is not dict:
        return obj
    items = cast("dict[Any, Any]", obj)
    return {key: uncan(value, g) for key, value in items.items()}


def uncan_sequence(obj: Any, g: Globals | None = None) -> Any:
    """Un-can the items of a list, tuple or set."""
    return type(obj)([uncan(item, g) for item in obj]) if type(obj) in sequence_types else obj


uncan_map: dict[type, Callable[[Any, Globals | None], Any]] = {
    CannedObject: lambda obj, g: obj.get_object(g),
    dict: uncan_dict,
}


def uncan(obj: object, g: Globals | None = None) -> Any:
    """Undo `can`; functions get `g` as their globals."""
    if isinstance(obj, CannedObject):
        return obj.get_object(g)
    kind = type(obj)
    if kind in _PLAIN and kind is not dict:
        return obj
    for cls, uncanner in uncan_map.items():
        if isinstance(obj, cls):
            return uncanner(obj, g)
    return obj


_original_can_map = can_map.copy()
_original_uncan_map = uncan_map.copy()


# ---------------------------------------------------------------- choice of the pickle module


def use_pickle() -> None:
    """Go back to the pickle of the standard library."""
    global backend
    backend = pickle
    can_map[FunctionType] = CannedFunction


def use_cloudpickle() -> None:
    """Pickle with cloudpickle, which handles functions itself."""
    _use(importlib.import_module("cloudpickle"))


def use_dill() -> None:
    """Pickle with dill, which handles functions itself."""
    _use(importlib.import_module("dill"))


def _use(module: Any) -> None:
    global backend
    backend = module
    can_map.pop(FunctionType, None)
