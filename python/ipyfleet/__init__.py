"""Distributed computing with IPython engines: the client side in Python.

>>> import ipyfleet as ipp
>>> rc = ipp.Client()  # doctest: +SKIP
>>> rc[:].apply_sync(lambda: "Hello, World")  # doctest: +SKIP
['Hello, World', 'Hello, World', 'Hello, World', 'Hello, World']

Names are imported when they are first used, because engines import this package too and need
nothing of the client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asyncresult import AsyncMapResult, AsyncResult, ExecuteReply, Metadata
    from .canning import Reference, depend, dependent, interactive, require
    from .client import Client
    from .dependency import Dependency
    from .error import (
        CompositeError,
        EngineError,
        ImpossibleDependency,
        InvalidDependency,
        IPythonError,
        KernelError,
        NoEnginesRegistered,
        RemoteError,
        SerializationError,
        TaskAborted,
        TaskTimeout,
        TimeoutError,
        UnmetDependency,
    )
    from .serialize import PrePickled
    from .view import DirectView, LoadBalancedView, View

_MODULE_OF: dict[str, str] = {
    name: module
    for module, names in {
        "asyncresult": ("AsyncMapResult", "AsyncResult", "ExecuteReply", "Metadata"),
        "canning": ("Reference", "depend", "dependent", "interactive", "require"),
        "client": ("Client",),
        "dependency": ("Dependency",),
        "error": (
            *("CompositeError", "EngineError", "IPythonError", "ImpossibleDependency"),
            *("InvalidDependency", "KernelError", "NoEnginesRegistered", "RemoteError"),
            *("SerializationError", "TaskAborted", "TaskTimeout", "TimeoutError"),
            "UnmetDependency",
        ),
        "serialize": ("PrePickled",),
        "view": ("DirectView", "LoadBalancedView", "View"),
    }.items()
    for name in names
}

__all__ = [
    "AsyncMapResult",
    "AsyncResult",
    "Client",
    "CompositeError",
    "Dependency",
    "DirectView",
    "EngineError",
    "ExecuteReply",
    "IPythonError",
    "ImpossibleDependency",
    "InvalidDependency",
    "KernelError",
    "LoadBalancedView",
    "Metadata",
    "NoEnginesRegistered",
    "PrePickled",
    "Reference",
    "RemoteError",
    "SerializationError",
    "TaskAborted",
    "TaskTimeout",
    "TimeoutError",
    "UnmetDependency",
    "View",
    "depend",
    "dependent",
    "interactive",
    "require",
]


def __getattr__(name: str) -> Any:
    """Import a name at its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("ipyfleet")
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, "__version__"})
