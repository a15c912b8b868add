"""Engines as workers of dask: `Client.become_dask`."""

from __future__ import annotations

import importlib
import logging
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client
    from .connection import Targets

__all__ = ["start", "stop"]

# The dask schedulers that clients of this process have started here.
_schedulers: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


# ---- functions that run on engines --------------------------------------------------------------
# Engines run functions of these names in the event loop that the workers need.


def become_dask_worker(address: str, nanny: bool, options: Any) -> None:
    import asyncio
    import importlib

    from IPython import get_ipython

    ip = get_ipython()
    if getattr(ip.kernel, "distributed_worker", None) is None:
        distributed: Any = importlib.import_module("distributed")
        worker = (distributed.Nanny if nanny else distributed.Worker)(address, **options)
        ip.kernel.distributed_worker = worker
        ip.user_ns.update(dask_worker=worker, distributed_worker=worker)
        ip.kernel.dask_start = asyncio.ensure_future(worker.start())


def stop_distributed_worker() -> None:
    import asyncio

    from IPython import get_ipython

    ip = get_ipython()
    worker = getattr(ip.kernel, "distributed_worker", None)
    if worker is not None:
        ip.kernel.distributed_worker = None
        for name in ("dask_worker", "distributed_worker"):
            ip.user_ns.pop(name, None)
        ip.kernel.dask_stop = asyncio.ensure_future(worker.close())


for _function in (become_dask_worker, stop_distributed_worker):
    _function.__module__ = "ipyparallel.util"
    _function.__annotations__ = {}


def start(
    client: Client,
    targets: Targets,
    port: int,
    nanny: bool,
    scheduler_args: Mapping[str, Any] | None,
    worker_args: Mapping[str, Any],
) -> Any:
    """Start a scheduler in this process and workers on engines; see `Client.become_dask`."""
    distributed: Any = importlib.import_module("distributed")
    if client not in _schedulers:
        options = dict(scheduler_args or {})
        _schedulers[client] = distributed.LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp",
            host=options.pop("ip", None) or options.pop("host", "127.0.0.1"),
            scheduler_port=port,
            dashboard_address=options.pop("dashboard_address", None),
            scheduler_kwargs=options,
            silence_logs=logging.ERROR,
        )
    address = _schedulers[client].scheduler_address
    options = {"nthreads": 1, **worker_args}
    client.direct_view(targets).apply_sync(become_dask_worker, address, nanny, options)
    return distributed.Client(address)


def stop(client: Client, targets: Targets) -> None:
    """End the workers and the scheduler of a client; see `Client.stop_dask`."""
    client.direct_view(targets).apply_sync(stop_distributed_worker)
    cluster = _schedulers.pop(client, None)
    if cluster is not None:
        cluster.close()
