"""The client: a connection to the controller of a cluster."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _native, error, serialize
from .asyncresult import AsyncResult, ExecuteReply, Metadata, Seconds
from .connection import Connection, Targets
from .dependency import msg_ids_of

if TYPE_CHECKING:
    from .view import DirectView, LoadBalancedView

__all__ = ["Client"]

Jobs: TypeAlias = "str | int | AsyncResult | Iterable[str | int | AsyncResult]"

# The hub answers at once unless it has a backlog; then this is how long one may have to wait.
_HUB_TIMEOUT = 60.0


class Client:
    """A connection to a running cluster.

    Indexing gives views of engines: ``rc[0]``, ``rc[::2]``, ``rc[:]``.

    Parameters
    ----------
    connection_info
        Path of a client connection file, or its content as a dict or as JSON text.
    url_file
        The same as a path.
    profile, profile_dir, ipython_dir, cluster_id
        Where to look for the connection file if none is given. By default this is the profile
        ``default`` in ``$IPYTHONDIR`` or ``~/.ipython``, and the cluster without an id, unless
        ``$IPP_PROFILE_DIR`` or ``$IPP_CLUSTER_ID`` say otherwise.
    timeout
        Seconds to wait for the controller.
    block
        Whether the views of this client wait for results unless told otherwise.

    Raises
    ------
    FileNotFoundError
        If there is no such connection file, because no cluster is running.
    TimeoutError
        If the controller does not answer.
    ValueError
        If the connection file is wrong or asks for something that is not supported.

    Notes
    -----
    All methods may be called from any thread. In a forked child they raise RuntimeError.

    Examples
    --------
    >>> with ipp.Client() as rc:  # doctest: +SKIP
    ...     rc[:].apply_sync(os.getpid)
    [4711, 4712]
    """

    def __init__(
        self,
        connection_info: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        url_file: str | os.PathLike[str] | None = None,
        profile: str | None = None,
        profile_dir: str | os.PathLike[str] | None = None,
        ipython_dir: str | os.PathLike[str] | None = None,
        cluster_id: str | None = None,
        timeout: Seconds = 10,
        block: bool = False,
    ) -> None:
        text = file = ""
        if isinstance(connection_info, Mapping):
            text = json.dumps(dict(connection_info))
        elif connection_info is not None:
            file = os.fspath(connection_info)
            if file.lstrip().startswith("{"):
                text, file = file, ""
        elif url_file is not None:
            file = os.fspath(url_file)
        self.block = block
        native = _native.Client(
            connection_text=text,
            file=os.path.expanduser(file),
            profile=profile or "",
            profile_dir=os.path.expanduser(os.fspath(profile_dir or "")),
            ipython_dir=os.path.expanduser(os.fspath(ipython_dir or "")),
            cluster_id=cluster_id or "",
            timeout=timeout,
        )
        self.connection = Connection(native)

    # ---- engines ------------------------------------------------------------------------------

    @property
    def ids(self) -> list[int]:
        """The ids of the engines that are registered now, rising."""
        return list(self.connection.engines())

    def __len__(self) -> int:
        return len(self.connection.engines())

    def __iter__(self) -> Iterator[DirectView]:
        return (self.direct_view(engine_id) for engine_id in self.ids)

    def __getitem__(self, key: int | slice | Sequence[int]) -> DirectView:
        if not isinstance(key, int | slice | tuple | list | range):
            raise TypeError(f"engines are chosen by int, slice or list of ints, not by {key!r}")
        return self.direct_view(key)

    def wait_for_engines(
        self, n: int = 1, *, timeout: Seconds | None = -1, interactive: bool | None = None
    ) -> None:
        """Wait until `n` engines are registered.

        Parameters
        ----------
        n
            Number of engines.
        timeout
            Seconds; None or a negative number means no limit.
        interactive
            Whether to show on stderr how many there are.

        Raises
        ------
        TimeoutError
            If there are fewer when the time is over; the text says how many.
        EngineError
            If an engine is lost meanwhile.
        """
        limit = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        before = self.connection.engines()
        while True:
            left = 0.1 if limit is None else min(0.1, max(0.0, limit - time.monotonic()))
            enough = self.connection.native.wait_for_engines(n, left)
            now = self.connection.engines()
            if interactive:
                sys.stderr.write(f"\r{min(len(now), n)}/{n} engines" + "\n" * enough)
                sys.stderr.flush()
            if enough:
                return
            lost = sorted(before.keys() - now.keys())
            if lost:
                raise error.EngineError(
                    f"engine {lost[0]} was lost while {n} engines were waited for"
                )
            before = now
            if limit is not None and time.monotonic() >= limit:
                raise error.TimeoutError(
                    f"{n} engines not ready in {timeout} seconds. Currently ready: {len(now)}"
                )

    # ---- views --------------------------------------------------------------------------------

    def direct_view(self, targets: Targets = "all") -> DirectView:
        """Return a view of explicit engines.

        Parameters
        ----------
        targets
            An id (then results are single values), a slice or a list of ids, or ``"all"``, which
            means at each call the engines that are there then.

        Raises
        ------
        IndexError
            If there is no such engine.
        NoEnginesRegistered
            If there is none at all, and `targets` is not ``"all"``.
        """
        from .view import DirectView

        if isinstance(targets, str) and targets == "all":
            return DirectView(self, "all")
        chosen = self.connection.resolve(targets)[1]
        return DirectView(self, chosen[0] if isinstance(targets, int) else chosen)

    def load_balanced_view(self, targets: Targets = None, **flags: Any) -> LoadBalancedView:
        """Return a view whose calls the scheduler distributes.

        Parameters
        ----------
        targets
            The engines to choose from; None means all, also those that come later.
        **flags
            Flags of the view: ``block``, ``label``, ``retries``, ``timeout``.
        """
        from .view import LoadBalancedView

        chosen = None if targets is None else self.connection.resolve(targets)[1]
        return LoadBalancedView(self, chosen, **flags)

    # ---- requests -----------------------------------------------------------------------------

    def _ask_hub(
        self, kind: str, content: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[bytes | memoryview]]:
        """Return content and buffers of the hub's answer, or raise its error."""
        request = self.connection.native.send("hub", kind, content=json.dumps(content))
        if not request.wait(_HUB_TIMEOUT):
            raise error.TimeoutError(
                f"the hub did not answer a {kind} within {_HUB_TIMEOUT:g} seconds"
            )
        if request.local_error[0]:
            raise ConnectionError(request.local_error[1])
        answer = json.loads(request.content)
        if answer.pop("status") != "ok":
            raise self.connection.unwrap_exception(answer)
        return answer, request.buffers()

    def _ask_engines(
        self, uuids: Iterable[str], kind: str, content: Mapping[str, Any]
    ) -> list[_native.Request]:
        text = json.dumps(content)
        return [self.connection.native.send("control", kind, uuid, content=text) for uuid in uuids]

    @property
    def outstanding(self) -> set[str]:
        """The ids of calls that have no result yet."""
        return set(self.connection.native.outstanding())

    @property
    def history(self) -> list[str]:
        """The ids of calls of this client, oldest first; of the finished ones the last 10,000."""
        return self.connection.native.history()

    def _requests_of(self, jobs: Jobs | None) -> list[_native.Request]:
        """Return the own requests that `jobs` stands for."""
        if isinstance(jobs, str | int | AsyncResult):
            jobs = [jobs]
        found: list[_native.Request] = []
        for job in jobs or ():
            if isinstance(job, AsyncResult):
                found += job.requests
                continue
            msg_id = self.history[job] if isinstance(job, int) else job
            request = self.connection.native.find(msg_id)
            if request is None:
                raise KeyError(f"this client knows no call {msg_id!r}")
            found.append(request)
        return found

    def get_result(self, msg_ids: Jobs = -1, block: bool | None = None) -> AsyncResult:
        """Return the result of earlier calls of this client.

        Parameters
        ----------
        msg_ids
            Message id, index into `history`, `AsyncResult`, or a list of these.
        block
            Whether to wait for the result; by default as `block` of the client.

        Raises
        ------
        KeyError
            If this client did not make the call, or has forgotten it.
        """
        single = isinstance(msg_ids, str | int)
        result = AsyncResult(self, self._requests_of(msg_ids), "get_result", single=single)
        if self.block if block is None else block:
            result.wait()
        return result

    def wait(self, jobs: Jobs | None = None, timeout: Seconds | None = -1) -> bool:
        """Wait for calls of this client.

        Parameters
        ----------
        jobs
            As in `get_result`; None means everything that is outstanding.
        timeout
            Seconds; None or a negative number means no limit.

        Returns
        -------
        bool
            False if results are missing when the time is over.
        """
        requests = self._requests_of(self.outstanding if jobs is None else jobs)
        return _native.wait_all(requests, timeout)

    # ---- questions to the hub -----------------------------------------------------------------

    def queue_status(self, targets: Targets = "all", verbose: bool = False) -> dict[Any, Any]:
        """Return what the hub knows about the queues of engines.

        Parameters
        ----------
        targets
            Which engines.
        verbose
            Whether to return lists of message ids instead of their numbers.

        Returns
        -------
        dict
            For each engine id ``{"queue": ..., "completed": ..., "tasks": ...}``, and under
            ``"unassigned"`` the tasks without an engine. For a single engine only its dict.
        """
        everything = isinstance(targets, str) and targets == "all"
        ids = None if everything else self.connection.resolve(targets)[1]
        answer, _ = self._ask_hub("queue_request", {"targets": ids, "verbose": verbose})
        status = {int(key) if key.isdigit() else key: value for key, value in answer.items()}
        return status[ids[0]] if ids and isinstance(targets, int) else status

    def explain(self, msg_ids: Jobs) -> dict[str, dict[str, str]]:
        """Return why load-balanced calls are where they are: what they wait for, where they run.

        Parameters
        ----------
        msg_ids
            Message ids, also of other clients, indices into `history`, or `AsyncResult` objects.

        Returns
        -------
        dict
            For each message id its ``"state"`` (blocked, waiting, running, orphaned, finished or
            unknown) and the ``"reason"``, a sentence.

        Raises
        ------
        RemoteError
            If the task scheduler does not answer within two seconds.
        """
        jobs = [msg_ids] if isinstance(msg_ids, str | int | AsyncResult) else msg_ids
        ids: list[str] = []
        for job in jobs:
            ids += msg_ids_of(self.history[job] if isinstance(job, int) else job)
        return self._ask_hub("explain_request", {"msg_ids": ids})[0]["explanations"]

    def result_status(self, msg_ids: Jobs, status_only: bool = True) -> dict[str, Any]:
        """Return which calls are done, of this client or of others.

        Parameters
        ----------
        msg_ids
            Message ids, indices into `history`, or `AsyncResult` objects.
        status_only
            Whether to leave the results out.

        Returns
        -------
        dict
            Lists of message ids under ``"pending"`` and ``"completed"``, and unless `status_only`
            the results of the completed ones by message id.

        Raises
        ------
        RemoteError
            If the hub knows one of the calls as little as this client, or if one of the completed
            calls raised and its result is asked for.
        """
        if isinstance(msg_ids, str | int | AsyncResult):
            msg_ids = [msg_ids]
        wanted: list[str] = []
        for job in msg_ids:
            if isinstance(job, AsyncResult):
                wanted += job.msg_ids
            else:
                wanted.append(self.history[job] if isinstance(job, int) else job)
        own = {msg_id: self.connection.native.find(msg_id) for msg_id in wanted}
        here = [msg_id for msg_id, request in own.items() if request and request.done]
        others = [msg_id for msg_id in own if msg_id not in here]
        answer: dict[str, Any] = {"pending": [], "completed": []}
        failures: list[error.RemoteError] = []
        if others:
            content = {"msg_ids": others, "status_only": status_only}
            records, buffers = self._ask_hub("result_request", content)
            answer["pending"] = records["pending"]
            answer["completed"] = records["completed"]
            if not status_only:
                self._read_records(records, buffers, answer, failures)
        if not status_only:
            for msg_id in here:
                answer[msg_id] = self.get_result(msg_id).get(return_exceptions=True)
                if isinstance(answer[msg_id], error.RemoteError):
                    failures.append(answer[msg_id])
        answer["completed"] += here
        if failures and len(own) == 1:
            raise failures[0]
        error.collect_exceptions(failures, "result_status")
        return answer

    def _read_records(
        self,
        records: Mapping[str, Any],
        buffers: Sequence[serialize.Buffer],
        answer: dict[str, Any],
        failures: list[error.RemoteError],
    ) -> None:
        """Add the results in a result_reply to `answer`; its buffers follow the sorted ids."""
        for msg_id in sorted(records["completed"]):
            record = records[msg_id]
            content = record["result_content"]
            if content["status"] != "ok":
                answer[msg_id] = self.connection.unwrap_exception(content)
                failures.append(answer[msg_id])
            elif record["result_header"]["msg_type"] == "execute_reply":
                answer[msg_id] = _hub_reply(msg_id, record)
            else:
                answer[msg_id], buffers = serialize.deserialize_object(buffers)

    # ---- control of engines and the hub -------------------------------------------------------

    def abort(
        self, jobs: Jobs | None = None, targets: Targets = None, block: bool | None = None
    ) -> AsyncResult | None:
        """Keep calls that have not begun from running; their results become `TaskAborted`.

        What runs already goes on.

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
        if jobs is None:
            msg_ids = sorted(self.outstanding)
        else:
            msg_ids = [request.msg_id for request in self._requests_of(jobs)]
        uuids, ids = self.connection.resolve(targets)
        requests = self._ask_engines(uuids, "abort_request", {"msg_ids": msg_ids})
        result = _ControlResult(self, requests, "abort", ids)
        if self.block if block is None else block:
            result.get()
            return None
        return result

    def shutdown(
        self, targets: Targets = "all", hub: bool = False, block: bool | None = None
    ) -> None:
        """End engines, and with them the controller if `hub` is True.

        Parameters
        ----------
        targets
            Which engines.
        hub
            Whether to end all engines and the controller; the client is closed then.
        block
            Whether to wait until the engines have answered; by default as `block` of the client.

        Raises
        ------
        TimeoutError
            If an engine or the hub does not answer.
        """
        try:
            uuids, ids = self.connection.resolve("all" if hub else targets)
        except error.NoEnginesRegistered:
            uuids, ids = [], []
        requests = self._ask_engines(uuids, "shutdown_request", {"restart": False})
        if hub or (self.block if block is None else block):
            if not _native.wait_all(requests, _HUB_TIMEOUT):
                raise error.TimeoutError(
                    f"not all of the engines {ids} answered within {_HUB_TIMEOUT:g} seconds"
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

    # ---- end ----------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the client was closed, or its controller shut down."""
        return self.connection.native.closed

    def close(self) -> None:
        """End the connection; calls without a result fail. Closing twice does nothing."""
        self.connection.native.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = self.connection.native.file or "connection given as text"
        state = "closed" if self.closed else f"{len(self)} engines"
        return f"<Client: {state}, {where}>"


class _ControlResult(AsyncResult):
    """Answers of engines to a control request: their contents."""

    def __init__(
        self, client: Client, requests: Sequence[_native.Request], fname: str, targets: list[int]
    ) -> None:
        super().__init__(client, requests, fname, targets)

    def _read_value(self, index: int) -> Any:
        request = self.requests[index]
        if request.local_error[0]:
            return super()._read_value(index)
        content = json.loads(request.content)
        return (
            content
            if content["status"] == "ok"
            else self._client.connection.unwrap_exception(content)
        )


def _hub_reply(msg_id: str, record: Mapping[str, Any]) -> ExecuteReply:
    """Return the result of an execute request that the hub has kept."""
    metadata = Metadata()
    metadata.update({key: value for key, value in record["io"].items() if key in metadata})
    metadata["msg_id"] = msg_id
    metadata["status"] = record["result_content"]["status"]
    metadata["engine_uuid"] = record["result_metadata"].get("engine")
    return ExecuteReply(msg_id, record["result_content"], lambda: metadata)
