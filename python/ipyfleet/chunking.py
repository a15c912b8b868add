"""How many items of a map go into one call.

A call costs about a tenth of a millisecond on the way, whatever it does, so short items have to go
together; but chunks that are too long leave engines without work at the end. Guided self-scheduling
(C. D. Polychronopoulos, D. J. Kuck: Guided Self-Scheduling, IEEE Transactions on Computers C-36,
1987) sends a fraction of what is left over to each engine, so that chunks shrink towards the end
and all engines end together. Here that is an upper bound: a chunk is only as long as it takes to
make the cost of a call unimportant, which measured times of earlier chunks tell.

Nothing here knows a clock, a socket or a thread.
"""

from __future__ import annotations

import math
from typing import Protocol

__all__ = ["ChunkPolicy", "FixedChunks", "GuidedChunks"]

# So long a chunk should take: then its call costs a percent of it.
_CHUNK_S = 0.01
# So long it takes at least if the items are there, also at the end: below, calls cost more than the
# engines gain from ending together.
_CHUNK_SHORTEST_S = 0.0005
# What an engine gets of its share of what is left over: of times that are known, or not.
_SHARE = 4
_SHARE_UNKNOWN = 64
# A chunk has at most so many times the items of the longest one that was measured.
_GROWTH = 64
# A map of known length is not split into more calls than this, which costs memory for each.
_CALLS_MAX = 50_000


class ChunkPolicy(Protocol):
    """Decides on the sizes of chunks; not to be used from several threads at once."""

    def size(self, left: int | None) -> int:
        """Return how many items the next chunk has, at least 1.

        Parameters
        ----------
        left
            How many items are left over; None if nobody knows.
        """
        ...

    def record(self, items: int, seconds: float) -> None:
        """Take note that an engine needed so long for so many items."""
        ...


class FixedChunks:
    """Chunks that are all of the same size."""

    def __init__(self, size: int) -> None:
        self._size = size

    def size(self, left: int | None) -> int:
        """Return the size."""
        return self._size if left is None else max(1, min(self._size, left))

    def record(self, items: int, seconds: float) -> None:
        """Do nothing."""


class GuidedChunks:
    """Chunks whose size follows from how long items take, and from how many are left over.

    Parameters
    ----------
    engines
        How many engines share the work; 0 counts as 1.
    total
        How many items there are; None if nobody knows.
    """

    def __init__(self, engines: int, total: int | None = None) -> None:
        self._engines = max(1, engines)
        self._fewest = 1 if total is None else math.ceil(total / _CALLS_MAX)
        self._item_s: float | None = None
        self._measured = 0
        self._waits = True

    @property
    def item_seconds(self) -> float | None:
        """How long an item takes; None as long as nothing was measured."""
        return self._item_s

    @property
    def settled(self) -> bool:
        """Whether a chunk was measured that is nearly as long as chunks should be.

        A short one tells little: it may be late for other reasons, and is mostly its call.
        """
        return self._item_s is not None and self._wanted() <= 2 * self._measured

    def record(self, items: int, seconds: float) -> None:
        """Take note of a measured chunk; that items became slower counts at once."""
        if items < 1:
            return
        new = max(0.0, seconds) / items
        known = self._item_s
        longer = items > self._measured
        # A short chunk is mostly the beginning and the end of its call: longer ones know better.
        if known is None or longer or new > known:
            self._item_s = new
        else:
            self._item_s = (known + new) / 2
        self._measured = max(self._measured, items)

    def give_up(self) -> None:
        """Do without times if there are none yet: it would take too long to wait for them."""
        self._waits = False

    def size(self, left: int | None) -> int:
        """Return how many items the next chunk has; see `ChunkPolicy.size`.

        As long as nothing is measured that is 1.
        """
        if self._item_s is None:
            if self._waits or left is None:
                return 1
            found = max(left // (_SHARE_UNKNOWN * self._engines), self._fewest)
        else:
            found = self._wanted()
            if left is not None:
                found = min(found, math.ceil(left / (_SHARE * self._engines)))
            found = max(found, self._items_in(_CHUNK_SHORTEST_S))
            found = max(min(found, self._measured * _GROWTH), self._fewest)
        if left is not None:
            # Even the shortest chunk leaves something for the other engines.
            found = min(found, math.ceil(left / self._engines))
        return max(1, found)

    def _wanted(self) -> int:
        return self._items_in(_CHUNK_S)

    def _items_in(self, seconds: float) -> int:
        assert self._item_s is not None
        return max(1, round(seconds / max(self._item_s, 1e-8)))
