"""Splitting sequences into parts for engines, and joining the parts again."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any, Literal

__all__ = ["Dist", "Map", "RoundRobinMap", "as_sequences", "dists", "mappable"]

Dist = Literal["b", "r"]


def is_array(value: Any) -> bool:
    """Tell whether a value is a numpy array, without importing numpy."""
    return type(value).__module__ == "numpy" and hasattr(value, "__array_interface__")


def mappable(value: Any) -> bool:
    """Tell whether a map over a value goes over its items."""
    return isinstance(value, tuple | list) or is_array(value)


class Map:
    """One block of items after the other; the lengths of the blocks differ by one at most."""

    def getPartition(  # noqa: N802 - a name of the public API
        self, seq: Any, p: int, q: int, n: int | None = None
    ) -> Any:
        """Return part `p` of `q`.

        Parameters
        ----------
        seq
            Anything that can be sliced or iterated over.
        p, q
            Number of the part, from 0, and how many there are.
        n
            Length of `seq`, if it is not to be asked for.

        Raises
        ------
        ValueError
            If there is no such part.
        """
        if not 0 <= p < q:
            raise ValueError(f"there is no part {p} of {q}")
        base, more = divmod(len(seq) if n is None else n, q)
        low = p * base + min(p, more)
        high = low + base + (p < more)
        try:
            return seq[low:high]
        except TypeError:
            items: list[Any] = list(islice(seq, low, high))
            return items

    def joinPartitions(self, listOfPartitions: list[Any]) -> Any:  # noqa: N802, N803
        """Join parts: arrays to an array, sequences to a list; else return the list of parts."""
        if listOfPartitions and all(is_array(part) and part.ndim for part in listOfPartitions):
            return self._join_arrays(listOfPartitions)
        if all(isinstance(part, list | tuple | range) for part in listOfPartitions):
            return self._join_lists(listOfPartitions)
        return listOfPartitions

    def _join_arrays(self, parts: list[Any]) -> Any:
        import numpy

        return numpy.concatenate(parts)

    def _join_lists(self, parts: list[Any]) -> list[Any]:
        return list(chain.from_iterable(parts))


class RoundRobinMap(Map):
    """Items in turn: part 0 has the items 0, q, 2q, ..."""

    def getPartition(  # noqa: N802
        self, seq: Any, p: int, q: int, n: int | None = None
    ) -> Any:
        """Return part `p` of `q`; see `Map.getPartition`."""
        if not 0 <= p < q:
            raise ValueError(f"there is no part {p} of {q}")
        try:
            return seq[p:n:q]
        except TypeError:
            items: list[Any] = list(islice(seq, p, n, q))
            return items

    def _join_arrays(self, parts: list[Any]) -> Any:
        import numpy

        shape = (sum(map(len, parts)), *parts[0].shape[1:])
        joined = numpy.empty(shape, dtype=numpy.result_type(*parts))
        for index, part in enumerate(parts):
            joined[index :: len(parts)] = part
        return joined

    def _join_lists(self, parts: list[Any]) -> list[Any]:
        longest = max(map(len, parts), default=0)
        return [part[row] for row in range(longest) for part in parts if row < len(part)]


dists: dict[str, type[Map]] = {"b": Map, "r": RoundRobinMap}


def map_of(dist: str) -> Map:
    """Return what splits and joins in the way that `dist` names.

    Raises
    ------
    ValueError
        If it is neither "b" nor "r".
    """
    if dist not in dists:
        raise ValueError(f"dist is 'b' (blocks) or 'r' (round robin), not {dist!r}")
    return dists[dist]()


def as_sequences(sequences: Iterable[Any]) -> list[Any]:
    """Return what can be sliced, all as long as the shortest.

    Raises
    ------
    ValueError
        If there is no sequence.
    """
    if not sequences:
        raise ValueError("a map needs at least one sequence")
    lists = [
        each if hasattr(each, "__getitem__") and hasattr(each, "__len__") else list(each)
        for each in sequences
    ]
    lists = [list(each) if isinstance(each, dict) else each for each in lists]
    shortest = min(map(len, lists))
    return [each if len(each) == shortest else each[:shortest] for each in lists]
