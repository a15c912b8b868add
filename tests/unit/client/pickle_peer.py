"""CPython and the reference implementation at the other end of the pickle tests.

``read FILE``: calls, each made of buffers; prints what the function returns, one line each.
``write FILE``: takes expressions from standard input and writes what they are as results.

A file is a sequence of objects; an object is the number of its buffers, then each with its size
before it, all numbers of eight bytes, little endian.
"""

from __future__ import annotations

import collections
import math
import struct
import sys
from pathlib import Path

import numpy as np
from ipyparallel.serialize import serialize_object, unpack_apply_message

NAMESPACE = {"np": np, "math": math, "collections": collections, "offset": 40}


def read(path: Path) -> None:
    data = memoryview(path.read_bytes())

    def number() -> int:
        nonlocal data
        (value,) = struct.unpack("<Q", data[:8])
        data = data[8:]
        return value

    while data:
        buffers = []
        for _ in range(number()):
            size = number()
            buffers.append(data[:size])
            data = data[size:]
        try:
            function, args, kwargs = unpack_apply_message(buffers, NAMESPACE)
            print(repr(function(*args, **kwargs)).replace("\n", " "))
        except Exception as error:
            print(f"{type(error).__name__}: {error}")


def write(path: Path) -> None:
    with path.open("wb") as out:
        for line in sys.stdin:
            buffers = serialize_object(eval(line, NAMESPACE))
            out.write(struct.pack("<Q", len(buffers)))
            for buffer in buffers:
                view = memoryview(buffer).cast("B")
                out.write(struct.pack("<Q", view.nbytes) + view)


{"read": read, "write": write}[sys.argv[1]](Path(sys.argv[2]))
