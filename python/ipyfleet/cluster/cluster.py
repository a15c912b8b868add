"""One cluster: a controller and sets of engines."""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import logging
import os
import sys
import time
import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import native, profiles, twins, waiting
from .clustertraits import ClusterTraits
from .enginecontrol import EngineControl, maybe
from .nativelauncher import NativeLauncher
from .recorded import RecordedCluster
from .signature import signature_of_traits

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["Cluster"]

_running: weakref.WeakSet[Cluster] = weakref.WeakSet()


@atexit.register
def _stop_at_exit() -> None:
    for cluster in list(_running):
        cluster._stop_without_loop()


@signature_of_traits
class Cluster(RecordedCluster, EngineControl, ClusterTraits):
    """A controller and sets of engines: to start, watch, change and stop.

    Each coroutine method has a twin with ``_sync`` at the end of its name that waits. As a context
    manager (``with`` or ``async with``) a cluster starts, gives a connected client, and stops at
    the end, also if that is an error.

    Parameters
    ----------
    n
        Number of engines; by default one for each CPU.
    controller, engines
        How they are started: the name of a launcher (local, mpi, ssh, sshproxy, slurm, pbs, sge,
        lsf, htcondor, winhpc, batch, or one that another package has registered), or a class.
    profile, profile_dir, cluster_id
        Where the files of the cluster are. By default it has a name of its own in the running or
        the default profile.
    **kwargs
        Any other trait.

    Examples
    --------
    >>> with ipp.Cluster(n=4) as rc:  # doctest: +SKIP
    ...     rc[:].apply_sync(os.getpid)
    [4711, 4712, 4713, 4714]
    """

    _context_client: Client | None = None

    def __repr__(self) -> str:
        profile = profiles.abbreviate(self.profile_dir)
        fields = {"cluster_id": repr(self.cluster_id)}
        if profile != self.profile_dir:
            fields["profile"] = repr(profile)
        else:
            home = f"{Path.home()}{os.sep}"
            short = f"~/{profile[len(home) :]}" if profile.startswith(home) else profile
            fields["profile_dir"] = repr(short)
        if self.controller:
            fields["controller"] = f"<{self.controller.state}>"
        if self.engines:
            fields["engine_sets"] = repr(list(self.engines))
        text = ", ".join(f"{name}={value}" for name, value in fields.items())
        return f"<{type(self).__name__}({text})>"

    @property
    def engine_set(self) -> Any:
        """The first set of engines, or None."""
        return next(iter(self.engines.values()), None)

    # ---- starting -----------------------------------------------------------------------------

    async def start_controller(self, **kwargs: Any) -> None:
        """Start the controller; `kwargs` are traits of its launcher."""
        if self.controller is not None:
            raise RuntimeError("the controller runs already; stop_controller() ends it")
        profiles.make(self.profile_dir)
        waiting.check_not_running(self)
        native.prune_logs(self.profile_dir)
        if self.shutdown_atexit:
            _running.add(self)
        controller = self.controller_launcher_class(
            work_dir=".",
            parent=self,
            log=self.log,
            profile_dir=self.profile_dir,
            cluster_id=self.cluster_id,
            **kwargs,
        )
        more = [
            *([f"--ip={self.controller_ip}"] if self.controller_ip else []),
            *([f"--location={self.controller_location}"] if self.controller_location else []),
            *self.controller_args,
        ]
        if more and hasattr(controller, "controller_args"):
            controller.controller_args = [*controller.controller_args, *more]
        elif more:
            self.log.warning(
                "%s takes no arguments for the controller: %s", type(controller).__name__, more
            )
        waiting.remove_stale_connection_files(controller, self.log)
        self.log.info("Starting Controller with %s", self.controller_launcher_class.__name__)
        try:
            await maybe(controller.start())
        except BaseException:
            with contextlib.suppress(Exception):
                await maybe(controller.stop())
            raise
        self.controller = controller
        self.update_cluster_file()
        controller.on_stop(self._controller_stopped)

    def _controller_stopped(self, stop_data: Any = None) -> None:
        failed = bool(stop_data and stop_data.get("exit_code"))
        self.log.log(
            logging.WARNING if failed else logging.INFO, "Controller stopped: %s", stop_data
        )
        self.update_cluster_file()

    def _new_engine_set_id(self) -> str:
        number = base = str(int(time.time()))
        more = 0
        while number in self.engines or waiting.set_id_used(self, number):
            more += 1
            number = str(int(base) + more)
        return number

    async def start_engines(
        self, n: int | None = None, engine_set_id: str | None = None, **kwargs: Any
    ) -> str:
        """Start a set of engines and return its id; `kwargs` are traits of the launcher."""
        return await self._start_set(self.engine_launcher_class, n, engine_set_id, **kwargs)

    async def _start_set(
        self, launcher_class: Any, n: int | None, engine_set_id: str | None, **kwargs: Any
    ) -> str:
        profiles.make(self.profile_dir)
        set_id = engine_set_id or self._new_engine_set_id()
        engine_set: Any = launcher_class(
            work_dir=".",
            parent=self,
            log=self.log,
            profile_dir=self.profile_dir,
            cluster_id=self.cluster_id,
            engine_set_id=set_id,
            **kwargs,
        )
        if self.send_engines_connection_env and self.controller:
            info = await maybe(self.controller.get_connection_info())
            if not issubclass(type(engine_set), NativeLauncher):
                engine_set.environment["IPP_CONNECTION_INFO"] = json.dumps(info["engine"])
        count = self.n if n is None else n
        count = getattr(engine_set, "engine_count", count) or count
        if count is None:
            count = len(os.sched_getaffinity(0))
        self.log.info(
            "Starting %d Engines with %s",
            count,
            getattr(launcher_class, "__name__", ""),
        )
        if self.shutdown_atexit:
            _running.add(self)
        self.engines[set_id] = engine_set
        self._own_sets.add(set_id)
        try:
            await maybe(engine_set.start(count))
        except BaseException:
            self.engines.pop(set_id, None)
            with contextlib.suppress(Exception):
                await maybe(engine_set.stop())
            raise
        self.update_cluster_file()
        engine_set.on_stop(partial(self._engines_stopped, set_id))
        return set_id

    def _engines_stopped(self, engine_set_id: str, stop_data: Any = None) -> None:
        failed = bool(stop_data and stop_data.get("exit_code"))
        self.log.log(
            logging.WARNING if failed else logging.INFO,
            "engine set stopped %s: %s",
            engine_set_id,
            stop_data,
        )
        self.update_cluster_file()

    async def start_cluster(self, n: int | None = None) -> Cluster:
        """Start a controller and a set of engines, and return this cluster."""
        started_here = self.controller is None
        try:
            if started_here:
                await self.start_controller()
            if self.delay:
                await asyncio.sleep(self.delay)
            await self.start_engines(n)
        except BaseException:
            if started_here:
                await self._stop_after_failure()
            raise
        return self

    async def start_and_connect(self, n: int | None = None, activate: bool = False) -> Client:
        """Start a cluster, wait for its engines, and return a client.

        Parameters
        ----------
        n
            Number of engines.
        activate
            Whether ``%px`` and the like work on all engines then.

        Raises
        ------
        EngineError
            If an engine ends instead of registering; the text has the last lines of its log. Then
            everything is stopped.
        TimeoutError
            If engines are missing after `engine_timeout`.
        """
        wanted = self.n if n is None else n
        await self.start_cluster(n=wanted)
        client = None
        try:
            client = await self.connect_client()
            if wanted is None:
                wanted = sum(each.n for each in self.engines.values())
            await waiting.wait_for_engines(self, client, wanted)
        except BaseException:
            if client is not None:
                client.close()
            await self._stop_after_failure()
            raise
        if activate:
            view = client[:]
            view.block = True
            view.activate()
        return client

    async def _stop_after_failure(self) -> None:
        try:
            await asyncio.shield(self.stop_cluster())
        except Exception as failure:  # the first failure is the one to tell
            self.log.error("the cluster could not be stopped after a failure: %s", failure)

    async def connect_client(self, **client_kwargs: Any) -> Client:
        """Return a client that is connected to this cluster; arguments as those of `Client`."""
        from ..client import Client

        if self.controller is None:
            raise RuntimeError("the cluster does not run; start_cluster() starts it")
        info = await maybe(self.controller.get_connection_info())
        return await asyncio.to_thread(
            Client,
            info["client"],
            cluster=self,
            profile_dir=self.profile_dir,
            cluster_id=self.cluster_id,
            **client_kwargs,
        )

    # ---- stopping -----------------------------------------------------------------------------

    async def stop_engines(self, engine_set_id: str | None = None) -> None:
        """Stop a set of engines, or all."""
        if engine_set_id is None:
            await waiting.gather_all(self.stop_engines(each) for each in list(self.engines))
            return
        engine_set = self._set(engine_set_id)
        self.log.info("Stopping engine(s): %s", engine_set_id)
        await maybe(engine_set.stop())
        if not isinstance(engine_set, NativeLauncher):
            engine_set.get_output(remove=True)
        self.engines.pop(engine_set_id, None)
        self.update_cluster_file()

    async def stop_controller(self) -> None:
        """Stop the controller."""
        controller = self.controller
        if controller is not None:
            if controller.running:
                self.log.info("Stopping controller")
                await maybe(controller.stop())
            if not isinstance(controller, NativeLauncher):
                controller.get_output(remove=True)
            await waiting.wait_for_owner(self)
            waiting.remove_connection_files(controller)
            if self._id_made_up:  # nobody will start a cluster of this name again
                state = Path(self.profile_dir) / "log" / f"engines{self.cluster_id}.json"
                state.unlink(missing_ok=True)
        self.controller = None
        self.update_cluster_file()

    async def stop_cluster(self) -> None:
        """Stop the controller and all engines."""
        if self._adaptive is not None:
            await self._adaptive.stop()
            self._adaptive = None
        self.take_over_others()
        await waiting.gather_all((self.stop_engines(), self.stop_controller()))
        _running.discard(self)

    def _stop_without_loop(self) -> None:
        """Stop at the end of the process or of this object, where `stop_cluster_sync` cannot."""
        if not self.shutdown_atexit or not self._launchers():
            return
        try:
            twins.run_here(self.stop_cluster)
        except Exception as failure:
            print(f"cluster {self!r} could not be stopped: {failure}", file=sys.stderr)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # half made
            self._stop_without_loop()

    # ---- context managers ---------------------------------------------------------------------

    async def __aenter__(self) -> Client:
        self._context_client = await self.start_and_connect()
        return self._context_client

    async def __aexit__(self, *args: object) -> None:
        self._close_context_client()
        await self.stop_cluster()

    def __enter__(self) -> Client:
        self._context_client = twins.run(self.start_and_connect())
        return self._context_client

    def __exit__(self, *args: object) -> None:
        self._close_context_client()
        twins.run(self.stop_cluster())

    def _close_context_client(self) -> None:
        client, self._context_client = self._context_client, None
        if client is not None:
            client.close()
