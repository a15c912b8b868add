"""Publishing data from a task while it runs."""

from __future__ import annotations

from typing import Any

__all__ = ["publish_data"]


def publish_data(data: dict[str, Any]) -> None:
    """Send a dict of objects to the client, which merges it into ``ar.data``; call it on engines.

    Raises
    ------
    RuntimeError
        If this is not an engine.
    """
    from IPython import get_ipython

    publisher = getattr(get_ipython(), "data_pub", None)
    if publisher is None:
        raise RuntimeError("publish_data works in tasks on engines only")
    publisher.publish_data(data)
