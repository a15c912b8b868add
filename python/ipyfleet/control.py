"""What a client tells engines and the hub to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _native, error
from .asyncresult import AsyncResult
from .cancelling import tell_engines
from .connection import Connection, Targets
from .hubqueries import HUB_TIMEOUT, HubQueries, Jobs
from .reading import raise_composite

if TYPE_CHECKING:
    from .directview import DirectView

__all__ = ["Control", "ControlResult"]


class ControlResult(AsyncResult):
    """Answers of engines to a control request: their contents."""

    def _read_value(self, index: int) -> Any:
        request = self.requests[index]
        if request.local_error[0]:
            return super()._read_value(index)
        content = json.loads(request.content)
        if content["status"] == "ok":
            return content
        return self.client.connection.unwrap_exception(content)

    def _raise_errors(self, values: Sequence[Any]) -> None:
        # The status of the reply is in its content only.
        failed = [value for value in values if isinstance(value, Exception)]
        if failed:
            raise_composite(failed, self.fname)


class Control(HubQueries):
    """The part of `Client` that controls engines and the hub."""

    connection: Connection

    def _control(
        self, targets: Targets, kind: str, content: Mapping[str, Any], block: bool | None
    ) -> ControlResult | None:
        uuids, ids = self.connection.resolve(targets)
        requests = tell_engines(self.connection, uuids, kind, content)
        result = ControlResult(self._client, requests, kind.removesuffix("_request"), ids)
        if self.block if block is None else block:
            result.get()
            return None
        return result

    def abort(
        self, jobs: Jobs | None = None, targets: Targets = None, block: bool | None = None
    ) -> AsyncResult | None:
        """Keep calls that have not begun from running; their results become `TaskAborted`.

        What runs already goes on; `AsyncResult.cancel` stops that too.

        Parameters
        ----------
        jobs
            As in `get_result`; None means everything that is outstanding.
        targets
            The engines to tell; None means all, which is right for load-balanced calls.
        block
            Whether to wait until the engines have been told; by default as `block` of the client.

        Returns
        -------
        AsyncResult or None
            Of the engines' answers (each a dict), or None after waiting for them.
        """
        msg_ids = sorted(self.outstanding) if jobs is None else self._msg_ids_of(jobs)
        return self._control(targets, "abort_request", {"msg_ids": msg_ids}, block)

    def clear(self, targets: Targets = None, block: bool | None = None) -> AsyncResult | None:
        """Empty the namespaces of engines, as ``%reset`` does.

        Parameters
        ----------
        targets
            Which engines; None means all.
        block
            Whether to wait for it; by default as `block` of the client.
        """
        return self._control(targets, "clear_request", {}, block)

    def send_signal(
        self, sig: int | str, targets: Targets = None, block: bool | None = None
    ) -> AsyncResult | None:
        """Send a signal to engines, also while they work.

        Parameters
        ----------
        sig
            Number or name, such as "SIGINT", which interrupts what runs there.
        targets
            Which engines; None means all.
        block
            Whether to wait until it is sent; by default as `block` of the client.

        Raises
        ------
        RemoteError
            If there is no such signal.
        """
        sent = sig if isinstance(sig, str) else int(sig)
        return self._control(targets, "signal_request", {"sig": sent}, block)

    def shutdown(
        self,
        targets: Targets = "all",
        restart: bool = False,
        hub: bool = False,
        block: bool | None = None,
    ) -> None:
        """End engines, and with them the controller if `hub` is True.

        Parameters
        ----------
        targets
            Which engines.
        restart
            Whether the engines start again, under the same ids. Needs engines of ipyfleet with a
            nanny.
        hub
            Whether to end all engines and the controller; the client is closed then.
        block
            Whether to wait until the engines have answered; by default as `block` of the client.

        Raises
        ------
        ValueError
            If everything is to end and to start again.
        TimeoutError
            If an engine or the hub does not answer.
        """
        if restart and hub:
            raise ValueError("the controller cannot be restarted: restart=True is for engines")
        try:
            uuids, ids = self.connection.resolve("all" if hub else targets)
        except error.NoEnginesRegistered:
            uuids, ids = [], []
        requests = tell_engines(self.connection, uuids, "shutdown_request", {"restart": restart})
        if hub or (self.block if block is None else block):
            if not _native.wait_all(requests, HUB_TIMEOUT):
                raise error.TimeoutError(
                    f"not all of the engines {ids} answered within {HUB_TIMEOUT:g} seconds"
                )
            for request in requests:
                # An engine that was gone before its answer arrived did what it was told.
                if not request.local_error[0]:
                    answer = json.loads(request.content)
                    if answer["status"] != "ok":
                        raise self.connection.unwrap_exception(answer)
        if hub:
            self._ask_hub("shutdown_request", {})
            self.close()

    def close(self, linger: float | None = None) -> None:
        """End the connection; see `Client.close`."""
        raise NotImplementedError

    def direct_view(self, targets: Targets = "all", **kwargs: Any) -> DirectView:
        """Return a view of explicit engines; see `Client.direct_view`."""
        raise NotImplementedError

    # ---- dask ---------------------------------------------------------------------------------

    def become_dask(
        self,
        targets: Targets = "all",
        port: int = 0,
        nanny: bool = False,
        scheduler_args: Mapping[str, Any] | None = None,
        **worker_args: Any,
    ) -> Any:
        """Make engines the workers of a dask cluster, and return a client of it.

        Parameters
        ----------
        targets
            Which engines.
        port
            Port of the dask scheduler; 0 means any.
        nanny
            Whether each worker is a process of its own, which dask can restart.
        scheduler_args
            Arguments of ``distributed.Scheduler``. It runs in this process, and listens on the
            loopback interface only unless ``host`` says otherwise.
        **worker_args
            Arguments of ``distributed.Worker``. Each has one thread unless they say otherwise.

        Returns
        -------
        distributed.Client
            It and the scheduler end with `stop_dask` at the latest.
        """
        from . import dask

        return dask.start(self._client, targets, port, nanny, scheduler_args, worker_args)

    def stop_dask(self, targets: Targets = "all") -> None:
        """End the workers and the scheduler that `become_dask` started."""
        from . import dask

        dask.stop(self._client, targets)

    become_distributed = become_dask
    stop_distributed = stop_dask
