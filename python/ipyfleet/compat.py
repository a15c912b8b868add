"""The module names ``ipyparallel.…`` in engine processes.

Pickles of an unmodified ipyparallel client refer to classes and functions by their place in that
package, and the client loads results by the same names. `install` makes the names importable and
ours. It does not need ipyparallel, and it does not hide one that is installed: the modules made
here are overlays, and whoever asks one of them for a name that it does not have gets the real
package, loaded at that moment into the same modules. Until then an overlay costs next to nothing,
while the real package would cost 40 MB and 0.4 s in every engine.

Call `install` in engines only. A client process may use both packages side by side.
"""

from __future__ import annotations

import builtins
import copyreg
import importlib
import pickle
import re
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from . import canning, error, serialize

ROOT = "ipyparallel"
REFERENCE_VERSION = "9.2.0"  # the release whose wire format is spoken

_LOAD_TIMEOUT_S = 60.0
_SEEN_CODES_MAX = 256


# ---------------------------------------------------------------- functions that clients send
# Clients send these with their code, bound to the module named in __module__. They import what they
# need in their bodies, so they also run where that module is the real one.


def _push(**ns: Any) -> None:
    """Define names in the user namespace; a name may be any target of an assignment."""
    from IPython import get_ipython

    user_ns = get_ipython().user_global_ns
    for name, value in ns.items():
        if name.isidentifier():
            user_ns[name] = value
            continue
        scope = {"_pushed_": value}
        exec(f"{name} = _pushed_", user_ns, scope)
        del scope["_pushed_"]
        user_ns.update(scope)


def _pull(keys: Any) -> Any:
    """Evaluate one expression, or a list of them, in the user namespace."""
    from IPython import get_ipython

    user_ns = get_ipython().user_global_ns
    if isinstance(keys, (list, tuple, set)):
        several: list[str] = [*keys]
        return [eval(key, user_ns) for key in several]
    return eval(keys, user_ns)


def _execute(code: str) -> None:
    """Run code in the user namespace."""
    from IPython import get_ipython

    exec(code, get_ipython().user_global_ns)


def _map(f: Callable[..., Any], *sequences: Any) -> list[Any]:
    """Apply `f` to the items of one chunk."""
    return list(map(f, *sequences))


def publish_data(data: dict[str, Any]) -> None:
    """Send a dict of objects to the client while the task is still running."""
    from IPython import get_ipython

    get_ipython().data_pub.publish_data(data)


_push.__module__ = _pull.__module__ = _execute.__module__ = "ipyparallel.util"
_map.__module__ = "ipyparallel.client.remotefunction"
publish_data.__module__ = "ipyparallel.engine.datapub"


def bind_kernel(**kwargs: Any) -> None:
    """Open the ports of a Jupyter kernel on this engine."""
    from .engine import attach

    attach.bind_kernel(**kwargs)


def get_ipython() -> Any:
    """Return the shell of this process, or None."""
    from IPython import get_ipython as current

    return current()


# ---------------------------------------------------------------- what the overlays hold

_SERIALIZE_API = [name for name in serialize.__all__ if name not in ("dumps", "loads")]
_SERIALIZE_API.remove("use_pickle_module")

_CANNING_API = (
    *("can", "uncan", "can_map", "uncan_map", "can_class", "can_dict", "can_sequence"),
    *("uncan_dict", "uncan_sequence", "can_dependent", "istype", "sequence_types"),
    *("interactive", "use_pickle", "use_cloudpickle", "use_dill"),
    *("_uncan_dependent_hook", "_original_can_map", "_original_uncan_map"),
)


def _pick(namespace: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(namespace, name) for name in names}


def _contents() -> dict[str, dict[str, Any]]:
    """Return module -> name -> object for all overlays."""
    wire = serialize.WIRE_NAMES
    errors = {
        **wire["ipyparallel.error"],
        **_pick(error, ("collect_exceptions", "wrap_exception", "unwrap_exception")),
    }
    dependency = {**wire["ipyparallel.controller.dependency"], "require": canning.require}
    api = _pick(serialize, _SERIALIZE_API)
    return {
        ROOT: {
            **errors,
            **dependency,
            **api,
            "interactive": canning.interactive,
            "bind_kernel": bind_kernel,
            "__version__": REFERENCE_VERSION,
            "version_info": (9, 2, 0),
        },
        "ipyparallel.error": errors,
        "ipyparallel.serialize": api,
        "ipyparallel.serialize.canning": {
            **wire["ipyparallel.serialize.canning"],
            **_pick(canning, _CANNING_API),
            # For use_cloudpickle() and its like, which clients send with their code.
            "pickle": pickle,
            "FunctionType": FunctionType,
        },
        "ipyparallel.serialize.codeutil": _pick(canning, ("code_ctor", "reduce_code")),
        "ipyparallel.serialize.serialize": {
            **_pick(serialize, ("PrePickled", "serialize_object", "deserialize_object")),
            **_pick(serialize, ("pack_apply_message", "unpack_apply_message")),
            "PICKLE_PROTOCOL": canning.PICKLE_PROTOCOL,
        },
        "ipyparallel.util": {
            **{"_push": _push, "_pull": _pull, "_execute": _execute},
            **{"interactive": canning.interactive, "get_ipython": get_ipython},
        },
        "ipyparallel.controller": {},
        "ipyparallel.controller.dependency": {**dependency, **_pick(canning, ("_require",))},
        "ipyparallel.client": {},
        "ipyparallel.client.remotefunction": {"_map": _map},
        "ipyparallel.client.view": {"get_ipython": get_ipython},
        "ipyparallel.engine": {},
        "ipyparallel.engine.datapub": {"publish_data": publish_data},
        "ipyparallel.datapub": {"publish_data": publish_data},
    }


_PACKAGES = frozenset(
    (ROOT, *(f"{ROOT}.{name}" for name in ("serialize", "controller", "client", "engine")))
)

# Globals of functions that clients send with their code, which an overlay imports when one comes.
_IMPORTABLE_GLOBALS = {
    "ipyparallel.util": {
        **{name: (name, None) for name in ("asyncio", "functools", "inspect", "logging", "os")},
        **{name: (name, None) for name in ("re", "socket", "sys")},
        "IOLoop": ("tornado.ioloop", "IOLoop"),
    }
}


# ---------------------------------------------------------------- the real package


def _real_spec(fullname: str) -> ModuleSpec | None:
    """Find a module of the installed package, as if there were no overlays."""
    parent = fullname.rpartition(".")[0]
    path = None
    if parent:
        parent_spec = _real_spec(parent)
        if parent_spec is None:
            return None
        path = parent_spec.submodule_search_locations
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is None or isinstance(finder, _OverlayFinder):
            continue
        spec = find(fullname, path)
        # A directory of that name without code (a namespace package) is not the real package.
        if spec is not None and spec.loader is not None and spec.origin is not None:
            return spec
    return None


_STAR_IMPORT = re.compile(r"^from \.([\w.]+) import \*", re.MULTILINE)


def _real_source_mentions(spec: ModuleSpec, name: str) -> bool:
    """Tell whether the source of the real module, or of one it re-exports, contains `name`.

    pickle, cloudpickle and debuggers ask every loaded module for names that only one of them has;
    that must not load the real package.
    """
    if spec.origin is None:
        return False
    file = Path(spec.origin)
    if file.suffix != ".py":
        return True
    text = file.read_text(encoding="utf-8")
    texts = [text]
    if spec.submodule_search_locations is not None:
        for relative in _STAR_IMPORT.findall(text):
            base = file.parent.joinpath(*relative.split("."))
            for candidate in (base.with_suffix(".py"), base / "__init__.py"):
                if candidate.is_file():
                    texts.append(candidate.read_text(encoding="utf-8"))
    word = re.compile(rf"\b{re.escape(name)}\b")
    return any(word.search(candidate) for candidate in texts)


def _global_names(code: CodeType) -> set[str]:
    """Return the names that a function, with the functions inside it, reads as globals."""
    import dis

    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


# ---------------------------------------------------------------- overlay modules

_lock = threading.RLock()


class OverlayModule(ModuleType):
    """A module that holds our names and turns into the real one when others are needed."""

    _ours: dict[str, Any]
    _state: str  # "overlay", then "loading", then "real"
    _seen: set[tuple[str, tuple[str, ...]]]

    def __getattr__(self, name: str) -> Any:
        fullname = self.__name__
        if name.startswith("__") and name.endswith("__") and name != "__all__":
            # Introspection (hasattr(module, "__file__") in tracebacks) must stay cheap.
            spec = _real_spec(fullname) if name == "__file__" else None
            if spec is not None:
                return spec.origin
            raise AttributeError(f"module {fullname!r} has no attribute {name!r}")
        if f"{fullname}.{name}" in _table:
            return importlib.import_module(f"{fullname}.{name}")
        if self._state == "overlay":
            spec = _real_spec(fullname)
            if spec is None:
                raise AttributeError(
                    f"module {fullname!r} has no attribute {name!r}: this engine belongs to"
                    f" ipyfleet, which provides the part of {ROOT} that engines need;"
                    f" install {ROOT} here to use the rest of it"
                )
            if name == "__all__" or _real_source_mentions(spec, name):
                self.load_real(spec)
                if name in self.__dict__:
                    return self.__dict__[name]
        raise AttributeError(f"module {fullname!r} has no attribute {name!r}")

    def provide_globals(self, code: CodeType) -> None:
        """Make sure that a function with this code finds its globals here."""
        key = (code.co_name, code.co_names)
        if self._state == "real" or key in self._seen:
            return
        importable = _IMPORTABLE_GLOBALS.get(self.__name__, {})
        for name in _global_names(code):
            if name in self.__dict__ or hasattr(builtins, name):
                continue
            if name in importable:
                module, attribute = importable[name]
                # If it is missing the function gets its NameError where it uses the name.
                with suppress(ImportError):
                    found = importlib.import_module(module)
                    self.__dict__[name] = getattr(found, attribute) if attribute else found
            elif _real_spec(self.__name__) is not None:
                getattr(self, name, None)
        if len(self._seen) >= _SEEN_CODES_MAX:
            self._seen.clear()
        self._seen.add(key)

    def load_real(self, spec: ModuleSpec) -> None:
        """Run the real module in this namespace, then restore the names that are ours.

        The package itself always comes first: its submodules import each other in an order that
        only works from there. What is loaded already stays as it is.
        """
        root = sys.modules[ROOT]
        if self is not root and isinstance(root, OverlayModule) and root._state == "overlay":
            root_spec = _real_spec(ROOT)
            if root_spec is not None:
                root.load_real(root_spec)
        if not _lock.acquire(timeout=_LOAD_TIMEOUT_S):
            raise ImportError(f"another thread is still loading {ROOT}; cannot load {spec.name}")
        try:
            if self._state != "overlay":
                return
            self._state = "loading"
            try:
                self.__file__ = spec.origin
                if spec.submodule_search_locations is not None:
                    self.__path__ = list(spec.submodule_search_locations)
                spec.loader.exec_module(self)  # type: ignore[union-attr]
            except BaseException:
                self._state = "overlay"
                raise
            else:
                self._state = "real"
            finally:
                self.__dict__.update(self._ours)
        finally:
            _lock.release()


class _SerializeModule(OverlayModule):
    """``ipyparallel.serialize.serialize``, where clients exchange the pickle module."""

    @property
    def pickle(self) -> Any:
        return canning.backend

    @pickle.setter
    def pickle(self, module: Any) -> None:
        canning.backend = module


class _OverlayFinder:
    """Meta path finder and loader of the overlays."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _table:
            return ModuleSpec(fullname, self, is_package=fullname in _PACKAGES)  # type: ignore[arg-type]
        if not fullname.startswith(f"{ROOT}."):
            return None
        root_spec = _real_spec(ROOT)
        if root_spec is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: this engine belongs to ipyfleet, which provides the"
                f" part of {ROOT} that engines need; install {ROOT} here to use the rest of it",
                name=fullname,
            )
        root = sys.modules[ROOT]
        if isinstance(root, OverlayModule):
            root.load_real(root_spec)
        return _real_spec(fullname)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        is_serialize = spec.name == "ipyparallel.serialize.serialize"
        return (_SerializeModule if is_serialize else OverlayModule)(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        ours = _table[module.__name__]
        # C code of Python that imports something (the compiler does, for a name that is not ASCII)
        # looks for __builtins__ in the globals of the caller.
        module.__dict__.update(__builtins__=builtins.__dict__, _state="overlay", _ours=ours)
        module.__dict__.update(_seen=set(), **ours)
        if module.__name__ in _PACKAGES:
            real = _real_spec(module.__name__)
            module.__path__ = list(real.submodule_search_locations or ()) if real else []


_table: dict[str, dict[str, Any]] = {}
_renamed: list[tuple[Any, str]] = []


def install() -> None:
    """Make the wire names importable in this process and pickle our classes under them.

    Raises
    ------
    RuntimeError
        If the real package has been imported before; its classes would not be ours.
    """
    if _table:
        return
    if ROOT in sys.modules:
        raise RuntimeError(f"{ROOT} was imported before ipyfleet.compat.install() was called")
    contents = _contents()
    for module_name, names in contents.items():
        if module_name in (ROOT, "ipyparallel.serialize"):
            continue  # these only re-export
        for name, obj in names.items():
            own = getattr(obj, "__module__", None) or ""
            if own.startswith("ipyfleet.") and getattr(obj, "__name__", None) == name:
                _renamed.append((obj, own))
                obj.__module__ = module_name
    _table.update(contents)
    sys.meta_path.insert(0, _OverlayFinder())  # type: ignore[arg-type]
    copyreg.pickle(CodeType, canning.reduce_code)  # type: ignore[arg-type]
    # The function of the reference needs ipykernel to find out that it has nothing to do with it.
    canning.replacements[(ROOT, "bind_kernel")] = bind_kernel
    serialize.use_importable_names(True)


def uninstall() -> None:
    """Undo `install`, for programs that hold an engine's shell only for a while (tests do)."""
    if not _table:
        return
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _OverlayFinder)]
    for name in [name for name in sys.modules if name.partition(".")[0] == ROOT]:
        del sys.modules[name]
    while _renamed:
        obj, module_name = _renamed.pop()
        obj.__module__ = module_name
    _table.clear()
    canning.replacements.clear()
    copyreg.dispatch_table.pop(CodeType, None)
    serialize.use_importable_names(False)
