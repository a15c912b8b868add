"""The part of a cluster that changes what runs: one engine, a set of them, all."""

# Traits have no types.
# pyright: standard

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, cast

from . import twins, waiting
from .elastic import Adaptive
from .nativelauncher import NativeLauncher

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["EngineControl", "maybe"]


async def maybe(result: Any) -> Any:
    """Wait for what a launcher returned, if it is something to wait for."""
    return await result if inspect.isawaitable(result) else result


class EngineControl(twins.AsyncFirst):
    """What `Cluster` does with engines that run."""

    # Of Cluster.
    engines: Any
    engine_timeout: Any
    log: Any

    _adaptive: Adaptive | None = None

    async def connect_client(self, **client_kwargs: Any) -> Client:
        """Return a client that is connected to this cluster."""
        raise NotImplementedError

    async def _start_set(
        self, launcher_class: Any, n: int | None, engine_set_id: str | None
    ) -> str:
        raise NotImplementedError

    async def stop_engines(self, engine_set_id: str | None = None) -> None:
        """Stop a set of engines, or all."""
        raise NotImplementedError

    def update_cluster_file(self) -> None:
        """Write the cluster file."""
        raise NotImplementedError

    def _set(self, engine_set_id: str) -> Any:
        try:
            return self.engines[engine_set_id]
        except KeyError:
            known = ", ".join(self.engines) or "none"
            raise KeyError(f"no engine set {engine_set_id!r}; there are {known}") from None

    async def stop_engine(self, engine_id: int) -> None:
        """Stop one engine."""
        engine_set, index = waiting.find_engine(self, engine_id)
        if index is None:  # its launcher knows only the whole set
            await self._by_controller("shutdown", targets=[engine_id], block=True)
        else:
            await engine_set.stop(index=index)
        self.update_cluster_file()

    async def restart_engines(self, engine_set_id: str | None = None) -> None:
        """Stop a set of engines, or all, and start as many again."""
        if engine_set_id is None:
            for each in list(self.engines):
                await self.restart_engines(each)
            return
        before = self._set(engine_set_id)
        await self.stop_engines(engine_set_id)
        await self._start_set(type(before), before.n, engine_set_id)

    async def restart_engine(self, engine_id: int) -> None:
        """Start one engine anew, under the same id; returns when it is there."""
        client = await self.connect_client()
        try:
            await waiting.restart_engine(client, engine_id, self.engine_timeout)
        finally:
            client.close()

    async def _by_controller(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Call a method of a client: the controller reaches every engine."""
        client = await self.connect_client()
        try:
            await asyncio.to_thread(getattr(client, method), *args, **kwargs)
        finally:
            client.close()

    async def signal_engine(self, signum: int, engine_id: int) -> None:
        """Send a signal to one engine."""
        engine_set, index = waiting.find_engine(self, engine_id)
        if index is not None:
            try:
                await maybe(engine_set.signal(signum, index))
            except NotImplementedError:
                index = None  # its launcher knows only the whole set
        if index is None:
            await self._by_controller("send_signal", signum, targets=[engine_id], block=True)

    async def signal_engines(self, signum: int, engine_set_id: str | None = None) -> None:
        """Send a signal to a set of engines, or to all."""
        if engine_set_id is None:
            for each in list(self.engines):
                await self.signal_engines(signum, each)
            return
        self.log.info("Sending signal %s to engine(s) %s", signum, engine_set_id)
        engine_set = self._set(engine_set_id)
        try:
            await maybe(engine_set.signal(signum))
        except NotImplementedError:
            # A batch system without signals. Ids are known from logs, else all engines get it.
            ids = engine_set.engine_ids() if isinstance(engine_set, NativeLauncher) else {}
            targets = list(ids.values()) or None
            await self._by_controller("send_signal", signum, targets=targets, block=True)

    def adapt(self, minimum: int = 0, maximum: int | None = None, **kwargs: Any) -> Adaptive:
        """Keep the number of engines between two bounds, as work needs it.

        Parameters
        ----------
        minimum, maximum
            The bounds; no maximum means the number of CPUs.
        **kwargs
            See `Adaptive`.
        """
        if self._adaptive is not None:
            self._adaptive.cancel()
        self._adaptive = Adaptive(cast(Any, self), minimum, maximum, **kwargs)
        self._adaptive.start()
        return self._adaptive
