"""Objects whose pickle leaves large buffers out: tables of pandas, and anything like them."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, need_on_engines
from ipyfleet import canning, serialize
from ipyfleet.outofband import take_apart

T = 20
ROWS = 10_000


class Blob:
    """Something with two large buffers."""

    def __init__(self, first: Any, second: Any) -> None:
        self.parts = (bytearray(first), bytearray(second))

    def __reduce_ex__(self, protocol: int) -> tuple[Any, ...]:
        make: Callable[[Any], Any] = pickle.PickleBuffer if protocol >= 5 else bytes
        return Blob, tuple(map(make, self.parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob) and other.parts == self.parts

    __hash__ = None  # type: ignore[assignment]


def readers() -> list[Any]:
    """Return the serializers that have to understand it: ours, and that of ipyparallel."""
    try:
        return [serialize, importlib.import_module("ipyparallel.serialize")]
    except ImportError:
        return [serialize]


@pytest.fixture
def blobs() -> Iterator[None]:
    """Let blobs be canned as tables are."""
    canning.can_map[Blob] = canning.can_table
    yield
    del canning.can_map[Blob]


@pytest.mark.usefixtures("blobs")
def test_buffers_are_those_of_the_object() -> None:
    blob = Blob(b"a" * 5000, b"b" * 2000)
    frames = serialize.serialize_object(blob)
    assert len(frames) == 3
    # The pickle of the blob itself is small, and goes inside.
    assert len(frames[0]) < 600
    for frame, part in zip(frames[1:], blob.parts, strict=True):
        assert isinstance(frame, memoryview)
        part[0] = ord("c")
        assert frame[0] == ord("c")


@pytest.mark.usefixtures("blobs")
@pytest.mark.parametrize("reader", readers())
def test_any_peer_reads_them(reader: Any) -> None:
    blob = Blob(b"a" * 5000, b"b" * 10)
    for obj in (blob, [blob, 1, blob], {"x": blob}):
        frames = [bytes(frame) for frame in serialize.serialize_object(obj)]
        found, rest = reader.deserialize_object(frames)
        assert found == obj
        assert rest == []


@pytest.mark.usefixtures("blobs")
@pytest.mark.parametrize("reader", readers())
def test_inside_a_closure(reader: Any) -> None:
    blob = Blob(b"a" * 5000, b"b" * 5000)

    def length() -> int:
        return len(blob.parts[0])

    length.__module__ = "__main__"
    frames = [bytes(frame) for frame in serialize.serialize_object(length)]
    assert reader.deserialize_object(frames, {})[0]() == 5000


def test_small_ones_and_others_are_left_to_pickle() -> None:
    assert take_apart(Blob(b"a", b"b"), pickle.dumps, 100) is None
    assert take_apart({"x": b"y" * 5000}, pickle.dumps, 100) is None

    def old_dumps(obj: Any, protocol: int) -> bytes:
        return pickle.dumps(obj, protocol)

    assert take_apart(Blob(b"a" * 5000, b""), old_dumps, 100) is None


def test_tables_of_pandas(rc: ipp.Client) -> None:
    need_on_engines(rc, "pandas")
    pandas = importlib.import_module("pandas")
    numpy = importlib.import_module("numpy")
    table = pandas.DataFrame({"x": numpy.arange(float(ROWS)), "y": range(ROWS), "z": "text"})
    frames = serialize.serialize_object(table)
    column = table.x.to_numpy()
    assert any(
        numpy.shares_memory(numpy.frombuffer(frame, numpy.uint8), column) for frame in frames[1:]
    )
    view = rc[:]
    view.push({"x": table}, block=True)
    view.execute("x.iloc[0, 0] = 5; x.loc[x.y == 1, 'x'] = 7", block=True)
    changed = view.pull("x", block=True)
    table.iloc[0, 0] = 5
    table.loc[table.y == 1, "x"] = 7
    assert [each.equals(table) for each in changed] == [True] * ENGINES
    changed[0].iloc[0, 0] = 6
    assert rc[0].apply_sync(len, table.x) == ROWS
    assert rc[0].apply_sync(pandas.Series.sum, table.y) == sum(range(ROWS))
