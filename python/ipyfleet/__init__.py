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
    from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION

    from .asyncresult import (
        AsyncResult,
        ResultFreedError,
        TaskCancelled,
    )
    from .balancedview import (
        LoadBalancedView,
    )
    from .bindkernel import (
        bind_kernel,
    )
    from .broadcastview import (
        BroadcastView,
    )
    from .canning import (
        Reference,
        can,
        can_map,
        depend,
        dependent,
        interactive,
        require,
        uncan,
        uncan_map,
        use_cloudpickle,
        use_dill,
        use_pickle,
    )
    from .client import (
        Client,
    )
    from .cluster import (
        Cluster,
        ClusterManager,
    )
    from .dependency import (
        Dependency,
    )
    from .directview import (
        DirectView,
    )
    from .error import (
        AlreadyDisplayedError,
        CompositeError,
        DependencyTimeout,
        EngineError,
        ImpossibleDependency,
        InvalidDependency,
        IPythonError,
        KernelError,
        NoEnginesRegistered,
        RemoteError,
        SerializationError,
        TaskAborted,
        TaskRejectError,
        TaskTimeout,
        TimeoutError,
        UnmetDependency,
        collect_exceptions,
        unwrap_exception,
        wrap_exception,
    )
    from .executor import (
        ViewExecutor,
    )
    from .hubresult import (
        AsyncHubResult,
    )
    from .install import (
        install_as_ipyparallel,
    )
    from .joblib import (
        register_joblib_backend,
    )
    from .lazymap import (
        LazyMapIterator,
    )
    from .magics import (
        load_ipython_extension as load_ipython_extension,  # IPython finds it by name
    )
    from .magics import (
        unload_ipython_extension as unload_ipython_extension,
    )
    from .mapresult import (
        AsyncMapResult,
    )
    from .metadata import (
        ExecuteReply,
        Metadata,
    )
    from .remotefunction import (
        ParallelFunction,
        RemoteFunction,
        parallel,
        remote,
    )
    from .serialize import (
        PrePickled,
        deserialize_object,
        pack_apply_message,
        serialize_object,
        unpack_apply_message,
    )
    from .serverextension import (
        load_jupyter_server_extension,
    )
    from .view import (
        View,
    )

_NAMES_IN = {
    "asyncresult": (
        "AsyncResult",
        "ResultFreedError",
        "TaskCancelled",
    ),
    "balancedview": ("LoadBalancedView",),
    "broadcastview": ("BroadcastView",),
    "canning": (
        "Reference",
        "can",
        "can_map",
        "depend",
        "dependent",
        "interactive",
        "require",
        "uncan",
        "uncan_map",
        "use_cloudpickle",
        "use_dill",
        "use_pickle",
    ),
    "client": ("Client",),
    "cluster": (
        "Cluster",
        "ClusterManager",
    ),
    "dependency": ("Dependency",),
    "directview": ("DirectView",),
    "error": (
        "AlreadyDisplayedError",
        "CompositeError",
        "DependencyTimeout",
        "EngineError",
        "IPythonError",
        "ImpossibleDependency",
        "InvalidDependency",
        "KernelError",
        "NoEnginesRegistered",
        "RemoteError",
        "SerializationError",
        "TaskAborted",
        "TaskRejectError",
        "TaskTimeout",
        "TimeoutError",
        "UnmetDependency",
        "collect_exceptions",
        "unwrap_exception",
        "wrap_exception",
    ),
    "executor": ("ViewExecutor",),
    "hubresult": ("AsyncHubResult",),
    "install": ("install_as_ipyparallel",),
    "joblib": ("register_joblib_backend",),
    "bindkernel": ("bind_kernel",),
    "lazymap": ("LazyMapIterator",),
    "magics": (
        "load_ipython_extension",
        "unload_ipython_extension",
    ),
    "mapresult": ("AsyncMapResult",),
    "metadata": (
        "ExecuteReply",
        "Metadata",
    ),
    "remotefunction": (
        "ParallelFunction",
        "RemoteFunction",
        "parallel",
        "remote",
    ),
    "serialize": (
        "PrePickled",
        "deserialize_object",
        "pack_apply_message",
        "serialize_object",
        "unpack_apply_message",
    ),
    "serverextension": (
        "_jupyter_server_extension_points",  # Jupyter Server finds it by name
        "load_jupyter_server_extension",
    ),
    "view": ("View",),
}
_MODULE_OF = {name: module for module, names in _NAMES_IN.items() for name in names}
_CONSTANTS = ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION")

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "AlreadyDisplayedError",
    "AsyncHubResult",
    "AsyncMapResult",
    "AsyncResult",
    "BroadcastView",
    "Client",
    "Cluster",
    "ClusterManager",
    "CompositeError",
    "Dependency",
    "DependencyTimeout",
    "DirectView",
    "EngineError",
    "ExecuteReply",
    "IPythonError",
    "ImpossibleDependency",
    "InvalidDependency",
    "KernelError",
    "LazyMapIterator",
    "LoadBalancedView",
    "Metadata",
    "NoEnginesRegistered",
    "ParallelFunction",
    "PrePickled",
    "Reference",
    "RemoteError",
    "RemoteFunction",
    "ResultFreedError",
    "SerializationError",
    "TaskAborted",
    "TaskCancelled",
    "TaskRejectError",
    "TaskTimeout",
    "TimeoutError",
    "UnmetDependency",
    "View",
    "ViewExecutor",
    "bind_kernel",
    "can",
    "can_map",
    "collect_exceptions",
    "depend",
    "dependent",
    "deserialize_object",
    "install_as_ipyparallel",
    "interactive",
    "load_jupyter_server_extension",
    "pack_apply_message",
    "parallel",
    "register_joblib_backend",
    "remote",
    "require",
    "serialize_object",
    "uncan",
    "uncan_map",
    "unpack_apply_message",
    "unwrap_exception",
    "use_cloudpickle",
    "use_dill",
    "use_pickle",
    "wrap_exception",
]


def __getattr__(name: str) -> Any:
    """Import a name at its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("ipyfleet")
    elif name == "version_info":
        value = tuple(int(part) for part in __getattr__("__version__").split(".")[:3])
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    elif name in _CONSTANTS:
        value = name  # as in concurrent.futures
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, *_CONSTANTS, "__version__", "version_info"})
