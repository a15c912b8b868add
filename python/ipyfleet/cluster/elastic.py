"""Clusters that grow and shrink with the work."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import twins

if TYPE_CHECKING:
    from ..client import Client
    from .cluster import Cluster

__all__ = ["Adaptive", "Load", "decide"]


@dataclass(frozen=True)
class Load:
    """What a cluster has to do.

    Attributes
    ----------
    engines
        Registered engines.
    starting
        Engines that were started and are not registered yet.
    waiting
        Tasks that no engine has.
    idle
        Ids of engines that had nothing to do for long enough, those to stop first at the end.
    """

    engines: int
    starting: int
    waiting: int
    idle: tuple[int, ...]


def decide(load: Load, minimum: int, maximum: int) -> tuple[int, tuple[int, ...]]:
    """Return how many engines to start, and the ids of those to stop."""
    there = load.engines + load.starting
    if there < minimum:
        return minimum - there, ()
    if load.waiting > load.starting and there < maximum:
        return min(load.waiting - load.starting, maximum - there), ()
    if load.waiting == 0:
        count = min(len(load.idle), max(0, load.engines - minimum))
        return 0, load.idle[len(load.idle) - count :]
    return 0, ()


class Adaptive:
    """Keeps the number of engines between two bounds.

    Parameters
    ----------
    cluster
        The cluster; its controller must run.
    minimum, maximum
        The bounds; no maximum means the number of CPUs.
    interval
        Seconds between two looks.
    idle_seconds
        How long an engine must have had nothing to do before it is stopped.
    """

    def __init__(
        self,
        cluster: Cluster,
        minimum: int = 0,
        maximum: int | None = None,
        *,
        interval: float = 1.0,
        idle_seconds: float = 10.0,
    ) -> None:
        most = len(os.sched_getaffinity(0)) if maximum is None else maximum
        if not 0 <= minimum <= most:
            raise ValueError(f"0 <= minimum <= maximum does not hold for {minimum} and {most}")
        self.minimum = minimum
        self.maximum = most
        self.interval = interval
        self.idle_seconds = idle_seconds
        self._cluster = cluster
        self._client: Client | None = None
        self._busy_at: dict[int, float] = {}
        self._started = 0
        self._future: Any = None
        self._ended = asyncio.Event()

    def start(self) -> None:
        """Begin to look."""
        loop = twins.loop()
        self._future = asyncio.run_coroutine_threadsafe(self._run(), loop)

    def cancel(self) -> None:
        """End looking, without waiting."""
        if self._future is not None:
            self._future.cancel()

    async def stop(self) -> None:
        """End looking; engines stay as they are."""
        self.cancel()
        while self._future is not None and not self._future.done():
            await asyncio.sleep(0.01)
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _run(self) -> None:
        while True:
            try:
                await self.step()
            except asyncio.CancelledError:
                raise
            except Exception as failure:
                self._cluster.log.warning("the number of engines stays as it is: %s", failure)
            await asyncio.sleep(self.interval)

    async def step(self) -> tuple[int, tuple[int, ...]]:
        """Look once and do what is to be done; return what `decide` said."""
        if self._client is None:
            self._client = await self._cluster.connect_client()
        load = self._measure(await asyncio.to_thread(self._client.queue_status))
        more, fewer = decide(load, self.minimum, self.maximum)
        if more:
            await self._cluster.start_engines(more)
        for engine_id in fewer:
            self._busy_at.pop(engine_id, None)
            await self._cluster.stop_engine(engine_id)
        return more, fewer

    def _measure(self, status: dict[Any, Any]) -> Load:
        now = time.monotonic()
        engines = [each for each in status if isinstance(each, int)]
        idle: list[int] = []
        for engine_id in engines:
            queued = status[engine_id].get("queue", 0) + status[engine_id].get("tasks", 0)
            since = self._busy_at.setdefault(engine_id, now)
            if queued:
                self._busy_at[engine_id] = now
            elif now - since >= self.idle_seconds:
                idle.append(engine_id)
        for gone in self._busy_at.keys() - {*engines}:
            del self._busy_at[gone]
        launched = sum(each.n for each in self._cluster.engines.values() if each.running)
        return Load(
            engines=len(engines),
            starting=max(0, launched - self._gone() - len(engines)),
            waiting=int(status.get("unassigned", 0)),
            idle=tuple(sorted(idle)),
        )

    def _gone(self) -> int:
        return sum(
            len(getattr(each, "exits", ()))
            for each in self._cluster.engines.values()
            if each.running
        )
