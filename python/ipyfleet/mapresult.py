"""Results of maps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from ._native import Completions
from .asyncresult import AsyncResult, Children
from .reading import ReadRequest, raise_composite
from .waiting import until_done

if TYPE_CHECKING:
    from .client import Client
    from .mapping import Map

__all__ = ["AsyncMapResult"]


class AsyncMapResult(AsyncResult):
    """The results of a map, put together again from its chunks.

    Iterating gives items as their chunks arrive: in the order of the input, or if `ordered` is
    False in the order in which chunks finish.

    Parameters
    ----------
    client, children, fname, return_exceptions
        As in `AsyncResult`.
    mapObject
        What joins the results of chunks (`ipyfleet.mapping.Map`); None for lists.
    ordered
        Whether iterating keeps the order of the input.
    chunk_sizes
        The number of items in each chunk: a list, or a dict by message id. Without it every request
        stands for a single item, and its result is that of the item.
    """

    def __init__(
        self,
        client: Client,
        children: Children,
        mapObject: Map | None,  # noqa: N803 - a name of the public API
        fname: str = "",
        ordered: bool = True,
        return_exceptions: bool = False,
        chunk_sizes: dict[str, int] | Sequence[int] | None = None,
    ) -> None:
        super().__init__(client, children, fname, return_exceptions=return_exceptions)
        self.single_result = False
        self._map = mapObject
        self.ordered = ordered
        if isinstance(chunk_sizes, dict):
            self._sizes = [chunk_sizes.get(msg_id, 1) for msg_id in self.msg_ids]
        elif chunk_sizes is not None:
            self._sizes = list(chunk_sizes)

    def _reconstruct(self, values: list[Any]) -> Any:
        if self._map is not None and not self._failed():
            return self._map.joinPartitions(values)
        if self._sizes is None:
            return values
        return list(chain.from_iterable(map(self._chunk, range(len(values)))))

    def _chunk(self, index: int) -> Iterable[Any]:
        """Return the items of a chunk; an exception counts as one."""
        value: Any = self._value(index)
        failed = self.requests[index].status != "ok"
        if self._sizes is None or failed or not hasattr(value, "__iter__"):
            return (value,)
        return value

    def _items(self, index: int) -> Iterable[Any]:
        if self.requests[index].status != "ok" and not self._return_exceptions:
            raise_composite([self._value(index)], self.fname)
        return self._chunk(index)

    def _order(self) -> Iterable[int]:
        return range(len(self.requests)) if self.ordered else self._as_they_finish()

    def _as_they_finish(self) -> Iterator[int]:
        if self._released:
            # Reading one of these again is refused, as it is in the order of the input.
            yield from (i for i, each in enumerate(self.requests) if isinstance(each, ReadRequest))
        completions = Completions(self.requests)
        while indices := completions.next():
            yield from indices

    async def _iterate_async(self) -> AsyncIterator[Any]:
        if self.ordered:
            async for item in super()._iterate_async():
                yield item
            return
        import asyncio

        left = set(range(len(self.requests)))
        waiting = {asyncio.ensure_future(self._when_done(index)) for index in left}
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                for item in self._items(task.result()):
                    yield item
                if not self.keep_results:
                    self._release(task.result())

    async def _when_done(self, index: int) -> int:
        await until_done(self.requests[index])
        return index

    def _part(self, index: int, targets: list[int] | None) -> AsyncResult:
        part = AsyncResult(
            *(self.client, [self.requests[index]], self.fname, targets),
            return_exceptions=self._return_exceptions,
        )
        part._wraps_items = self._sizes is None and self._map is None
        return part

    @property
    def progress(self) -> int:
        """Number of items whose results are there, out of ``len(self)``."""
        if self._sizes is None:
            return super().progress
        finished = zip(self.requests, self._sizes, strict=True)
        return sum(size for request, size in finished if request.done)
