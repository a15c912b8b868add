"""Attaching Jupyter consoles and notebooks to an engine."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["bind_kernel"]


def bind_kernel(**kwargs: Any) -> Any:
    """Let Jupyter front ends connect to the engine that runs this; call it there.

    Parameters
    ----------
    **kwargs
        Of the engine's kernel application: ``ip``, ``transport``, ports.

    Raises
    ------
    RuntimeError
        If this is not an engine.

    Examples
    --------
    >>> rc[0].execute("import ipyfleet; ipyfleet.bind_kernel()")  # doctest: +SKIP
    """
    ip = None
    if "IPython" in sys.modules:
        from IPython import get_ipython

        ip = get_ipython()
    bind = getattr(getattr(ip, "kernel", None), "bind_kernel", None)
    if bind is None:
        raise RuntimeError("bind_kernel works on engines only: call it with rc[0].execute")
    return bind(**kwargs)
