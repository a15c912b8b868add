"""A joblib backend: ``joblib.Parallel`` on the engines of a cluster.

Examples
--------
>>> ipp.register_joblib_backend()  # doctest: +SKIP
>>> with joblib.parallel_config("ipyfleet"):  # doctest: +SKIP
...     joblib.Parallel()(joblib.delayed(abs)(i) for i in range(-5, 5))
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .view import View

__all__ = ["register", "register_joblib_backend", "register_view"]


def _backend_class() -> Any:
    """Return the class; joblib is imported only here."""
    parallel: Any = importlib.import_module("joblib.parallel")

    class FleetBackend(parallel.AutoBatchingMixin, parallel.ParallelBackendBase):
        """Runs batches of calls as calls of a view; without a view on the default cluster."""

        supports_sharedmem = False
        uses_threads = False
        supports_retrieve_callback = False

        def __init__(self, view: View | None = None, **kwargs: Any) -> None:
            super().__init__(**kwargs)  # pyright: ignore[reportUnknownMemberType]
            self._own_client: Any = None
            self._view = view

        def _connected_view(self) -> View:
            if self._view is None:
                from .client import Client

                self._own_client = Client()
                self._own_client.wait_for_engines(1, timeout=60)
                self._view = self._own_client.load_balanced_view()
                # joblib's calls often hold closures, which plain pickle cannot send.
                with suppress(ImportError):
                    self._own_client[:].use_cloudpickle()
            return self._view

        def effective_n_jobs(self, n_jobs: int) -> int:
            """Return how many calls run at the same time."""
            return len(self._connected_view())

        def submit(self, func: Callable[[], Any], callback: Any = None) -> Any:
            """Call a batch on an engine."""
            result = self._connected_view().apply_async(func)
            if callback is not None:
                result.add_done_callback(
                    lambda done: callback(done.get()) if done.successful() else None
                )
            return result

        apply_async = submit

        def terminate(self) -> None:
            """Close the client that was made here."""
            if self._own_client is not None:
                self._own_client.close()
                self._own_client = self._view = None

        def abort_everything(self, ensure_ready: bool = True) -> None:
            """Abort what has not begun; engines stay ready."""
            view = self._view
            if view is not None and view.outstanding:
                view.abort(block=True)

    return FleetBackend


def register_view(view: View | None, name: str, make_default: bool) -> None:
    """Register a backend of a view, or one that connects to the default cluster."""
    backend = _backend_class()

    def make(**kwargs: Any) -> Any:
        return backend(view=view, **kwargs)

    importlib.import_module("joblib.parallel").register_parallel_backend(
        name, make, make_default=make_default
    )


def register_joblib_backend(name: str = "ipyparallel", make_default: bool = False) -> None:
    """Make joblib know the default cluster as a backend.

    Parameters
    ----------
    name
        What the backend is called in ``joblib.Parallel(backend=...)``.
    make_default
        Whether joblib uses it unless told otherwise.
    """
    register_view(None, name, make_default)


register = register_joblib_backend
