"""Objects whose pickle leaves large buffers out (protocol 5), in a form that every peer can read.

The tables of pandas, for example: their columns are buffers that need not be copied into a pickle.
Peers know canned objects with a list of buffers and a function that makes the object from the first
of them. That function is `pickle.loads` here, the first buffer is the pickle, and the list itself
goes along as the out-of-band buffers: the pickle begins by taking the first one, itself, and
throwing it away.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

__all__ = ["joiner", "take_apart"]

_PROTOCOL = 5
# PROTO 5, then NEXT_BUFFER and POP.
_BEGINNING = b"\x80\x05\x97\x30"


def take_apart(
    obj: Any, dumps: Callable[..., bytes], threshold: int
) -> list[bytes | memoryview] | None:
    """Pickle an object without its large buffers.

    Parameters
    ----------
    obj
        Anything that can be pickled.
    dumps
        That of the pickle module in use.
    threshold
        Objects whose buffers have fewer bytes together are not worth it.

    Returns
    -------
    list or None
        The pickle and then the buffers, each a view of the object's memory; None if the object has
        none, or not enough of them.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        payload = dumps(obj, _PROTOCOL, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
    except (TypeError, BufferError):  # a pickle module without buffers, memory with gaps
        return None
    if payload[:2] != _BEGINNING[:2] or sum(view.nbytes for view in views) < threshold:
        return None
    return [_BEGINNING + payload[2:], *views]


def joiner(parts: list[Any]) -> Callable[[Any], Any]:
    """Return what makes the object of its parts; it is called with the first one.

    The receiver's memory is only for reading, and tables are changed in place: so each buffer is
    copied there, once.
    """
    return functools.partial(pickle.loads, buffers=map(bytearray, parts))
