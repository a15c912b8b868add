"""What a client asks the hub: queues, results, records, history."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from . import _native, error, serialize
from .asyncresult import AsyncResult
from .checks import require_type
from .connection import Connection, Targets
from .dependency import msg_ids_of
from .hubresult import AsyncHubResult, HubRequest, read_date, read_record
from .metadata import Metadata

if TYPE_CHECKING:
    from .client import Client

__all__ = ["HubQueries", "Jobs"]

Jobs: TypeAlias = "str | int | AsyncResult | Iterable[str | int | AsyncResult]"

# The hub answers at once unless it has a backlog; then this is how long one may have to wait.
HUB_TIMEOUT = 60.0
# How long a call may take to reach the task scheduler.
_ON_THE_WAY_S = 1.0
_DATES = ("submitted", "started", "completed", "received")


def as_list(jobs: Jobs | None) -> list[Any]:
    """Return jobs as a list; a single one is a list of one."""
    if jobs is None:
        return []
    return [jobs] if isinstance(jobs, str | int | AsyncResult) else list(jobs)


class ByMessageId(MutableMapping[str, Any]):
    """What a client knows about its finished calls, by message id; deleting makes it forget."""

    def __init__(self, client: Client, metadata: bool) -> None:
        self._client = client
        self._metadata = metadata

    def _request(self, msg_id: str) -> _native.Request:
        request = self._client.connection.native.find(msg_id)
        if request is None or not (self._metadata or request.done):
            raise KeyError(msg_id)
        return request

    def __getitem__(self, msg_id: str) -> Any:
        result = AsyncResult(self._client, self._request(msg_id))
        return result.metadata if self._metadata else result.get(return_exceptions=True)

    def __setitem__(self, msg_id: str, value: Any) -> None:
        raise TypeError("results cannot be set")

    def __delitem__(self, msg_id: str) -> None:
        if not self._client.connection.native.forget(msg_id):
            raise KeyError(msg_id)

    def __iter__(self) -> Iterator[str]:
        ids = self._client.connection.native.history()
        if self._metadata:
            return iter(ids)
        outstanding = self._client.outstanding
        return (msg_id for msg_id in ids if msg_id not in outstanding)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        what = "metadata" if self._metadata else "results"
        return f"<{what} of {len(self)} calls>"


class HubQueries:
    """The part of `Client` that asks the hub."""

    connection: Connection
    block: bool

    @property
    def _client(self) -> Client:
        return cast("Client", self)

    def _ask_hub(
        self, kind: str, content: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[bytes | memoryview]]:
        """Return content and buffers of the hub's answer, or raise its error."""
        request = self.connection.native.send("hub", kind, content=json.dumps(content))
        if not request.wait(HUB_TIMEOUT):
            raise error.TimeoutError(
                f"the hub did not answer a {kind} within {HUB_TIMEOUT:g} seconds"
            )
        if request.local_error[0]:
            raise ConnectionError(request.local_error[1])
        answer = json.loads(request.content)
        if answer.pop("status") != "ok":
            raise self.connection.unwrap_exception(answer)
        return answer, request.buffers()

    # ---- own calls ----------------------------------------------------------------------------

    @property
    def outstanding(self) -> set[str]:
        """The ids of calls that have no result yet."""
        return set(self.connection.native.outstanding())

    @property
    def history(self) -> list[str]:
        """The ids of calls of this client, oldest first; of the finished ones the last 10,000."""
        return self.connection.native.history()

    @property
    def results(self) -> MutableMapping[str, Any]:
        """The results of finished calls by message id; errors are values too."""
        return ByMessageId(self._client, metadata=False)

    @property
    def metadata(self) -> MutableMapping[str, Metadata]:
        """How calls ran, by message id."""
        return ByMessageId(self._client, metadata=True)

    def _requests_of(self, jobs: Jobs | None) -> list[_native.Request]:
        """Return the own requests that `jobs` stands for.

        Raises
        ------
        KeyError
            If this client did not make a call, or has forgotten it.
        """
        found: list[_native.Request] = []
        for job in as_list(jobs):
            if isinstance(job, AsyncResult):
                found += job.requests
            else:
                found += self.connection.requests_of([self._msg_id(job)])
        return found

    def _msg_id(self, job: str | int) -> str:
        if isinstance(job, str):
            return job
        require_type(job, int, "calls are named by message id, index or result")
        return self.history[job]

    def _msg_ids_of(self, jobs: Jobs | None) -> list[str]:
        """Return the message ids that `jobs` stands for, whoever made the calls."""
        found: list[str] = []
        for job in as_list(jobs):
            found += job.msg_ids if isinstance(job, AsyncResult) else [self._msg_id(job)]
        return found

    def get_result(
        self,
        indices_or_msg_ids: Jobs | None = None,
        block: bool | None = None,
        owner: bool = True,
    ) -> AsyncResult:
        """Return the result of earlier calls, of this client or of others.

        Parameters
        ----------
        indices_or_msg_ids
            Message id, index into `history`, `AsyncResult`, or a list of these; by default the last
            call of this client.
        block
            Whether to wait for the result; by default as `block` of the client.
        owner
            Kept for compatibility.

        Returns
        -------
        AsyncResult
            An `AsyncHubResult` if the hub has to be asked.
        """
        wanted = -1 if indices_or_msg_ids is None else indices_or_msg_ids
        single = isinstance(wanted, str | int)
        children: list[Any] = []
        for job in as_list(wanted):
            children += job.requests if isinstance(job, AsyncResult) else [self._msg_id(job)]
        find = self.connection.native.find
        found: list[Any] = [
            (find(each) or each) if isinstance(each, str) else each for each in children
        ]
        elsewhere = any(isinstance(each, str | HubRequest) for each in found)
        kind = AsyncHubResult if elsewhere else AsyncResult
        result = kind(self._client, found[0] if single else found, "get_result", owner=owner)
        if self.block if block is None else block:
            result.wait()
        return result

    def resubmit(
        self,
        indices_or_msg_ids: Jobs | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool | None = None,
    ) -> AsyncHubResult:
        """Have the hub submit finished load-balanced calls again.

        Parameters
        ----------
        indices_or_msg_ids
            As in `get_result`.
        metadata
            Has no effect, as in IPython Parallel.
        block
            Whether to wait for the results; by default as `block` of the client.

        Raises
        ------
        RemoteError
            If the hub does not have one of the calls, or it is not finished.
        """
        wanted = -1 if indices_or_msg_ids is None else indices_or_msg_ids
        msg_ids = self._msg_ids_of(wanted)
        answer, _ = self._ask_hub("resubmit_request", {"msg_ids": msg_ids})
        again = [answer["resubmitted"][msg_id] for msg_id in msg_ids]
        children = again[0] if isinstance(wanted, str | int) else again
        result = AsyncHubResult(self._client, children, "resubmit")
        if self.block if block is None else block:
            result.wait()
        return result

    # ---- queues -------------------------------------------------------------------------------

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

    def controller_status(self) -> dict[str, Any]:
        """Return the controller's figures: uptime, memory, engines, and what each queue has done.

        Returns
        -------
        dict
            ``"uptime"`` and ``"cpu"`` in seconds, ``"resident_bytes"``, the numbers of
            ``"engines"`` and of ``"pending"`` tasks, ``"store"``, and under ``"queues"`` for each
            queue its messages and bytes in and out, what was rejected and why, and how many
            requests are open. The guide's page on troubleshooting explains them.
        """
        return self._ask_hub("status_request", {})[0]

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
        NotImplementedError
            If the controller is one of IPython Parallel.
        """
        ids: list[str] = []
        for job in as_list(msg_ids):
            ids += msg_ids_of(self.history[job] if isinstance(job, int) else job)
        end = time.monotonic() + _ON_THE_WAY_S
        while True:
            try:
                found = self._ask_hub("explain_request", {"msg_ids": ids})[0]["explanations"]
            except error.RemoteError as failure:
                if "Bad Message Type" not in str(failure):
                    raise
                text = "only controllers of ipyfleet explain what calls wait for"
                raise NotImplementedError(text) from None
            unknown = [msg_id for msg_id in found if found[msg_id]["state"] == "unknown"]
            requests = map(self.connection.native.find, unknown)
            # The question takes another way than the calls, and may overtake them.
            coming = any(each and not each.done and not each.target for each in requests)
            if not coming or time.monotonic() > end:
                return found
            time.sleep(0.02)

    # ---- results ------------------------------------------------------------------------------

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
        own = {each: self.connection.native.find(each) for each in self._msg_ids_of(msg_ids)}
        here = [msg_id for msg_id, request in own.items() if request and request.done]
        others = [msg_id for msg_id in own if msg_id not in here]
        answer: dict[str, Any] = {"pending": [], "completed": []}
        values: dict[str, Any] = {}
        if others:
            content = {"msg_ids": others, "status_only": status_only}
            records, buffers = self._ask_hub("result_request", content)
            answer["pending"] = records["pending"]
            answer["completed"] = records["completed"]
            if not status_only:
                values = self._read_records(records, buffers)
        if not status_only:
            for msg_id in here:
                values[msg_id] = self.get_result(msg_id).get(return_exceptions=True)
        answer.update(values)
        answer["completed"] += here
        failures = [value for value in values.values() if isinstance(value, error.RemoteError)]
        if failures and len(own) == 1:
            raise failures[0]
        error.collect_exceptions(failures, "result_status")
        return answer

    def _read_records(
        self, records: Mapping[str, Any], buffers: Sequence[serialize.Buffer]
    ) -> dict[str, Any]:
        """Return the results in a result_reply; its buffers follow the sorted ids."""
        values: dict[str, Any] = {}
        for msg_id in sorted(records["completed"]):
            values[msg_id], buffers = read_record(self.connection, msg_id, records[msg_id], buffers)
        return values

    def fetch_records(self, missing: Mapping[str, HubRequest]) -> None:
        """Ask the hub for results, and put those that are there into their requests."""
        content = {"msg_ids": list(missing), "status_only": True}
        completed = self._ask_hub("result_request", content)[0]["completed"]
        if completed:
            content = {"msg_ids": completed, "status_only": False}
            records, buffers = self._ask_hub("result_request", content)
            values = self._read_records(records, buffers)
            for msg_id in records["completed"]:
                missing[msg_id].value = values[msg_id]
                missing[msg_id].record = records[msg_id]

    # ---- records ------------------------------------------------------------------------------

    def hub_history(self) -> list[str]:
        """Return the message ids of all calls of all clients, in order of submission."""
        return self._ask_hub("history_request", {})[0]["history"]

    def db_query(
        self, query: Mapping[str, Any], keys: str | Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return records of the task database.

        Parameters
        ----------
        query
            Conditions by key as in MongoDB: a value, or a dict of operators (``$in``, ``$nin``,
            ``$eq``, ``$ne``, ``$gt``, ``$gte``, ``$lt``, ``$lte``, ``$glob``). Dates are datetimes.
        keys
            The keys to return; by default all but the buffers. ``msg_id`` is always there.

        Raises
        ------
        RemoteError
            If the hub does not understand the query.
        """
        wanted = [keys] if isinstance(keys, str) else keys
        content = json.loads(json.dumps({"query": query, "keys": wanted}, default=_to_json))
        answer, buffers = self._ask_hub("db_request", content)
        records: list[dict[str, Any]] = answer["records"]
        position = 0
        for name in ("buffers", "result_buffers"):
            answer.setdefault(f"{name[:-1]}_lens", None)
        for index, record in enumerate(records):
            for key in _DATES:
                if key in record:
                    record[key] = read_date(record[key])
            for key in ("header", "result_header"):
                if isinstance(record.get(key), dict) and "date" in record[key]:
                    record[key]["date"] = read_date(record[key]["date"])
            for name in ("buffers", "result_buffers"):
                lengths = answer[f"{name[:-1]}_lens"]
                if lengths is not None:
                    record[name] = buffers[position : position + lengths[index]]
                    position += lengths[index]
        return records

    # ---- forgetting ---------------------------------------------------------------------------

    def purge_local_results(self, jobs: Jobs = (), targets: Targets = ()) -> None:
        """Forget results in this client; those that somebody holds stay valid.

        Parameters
        ----------
        jobs
            As in `get_result`, or "all".
        targets
            Engines whose results are forgotten.

        Raises
        ------
        RuntimeError
            If one of the calls has no result yet.
        ValueError
            If nothing is to be forgotten.
        """
        self._check_purge(jobs, targets)
        if isinstance(jobs, str) and jobs == "all":
            msg_ids = self.history
        else:
            msg_ids = self._msg_ids_of(jobs)
            if not _is_empty(targets):
                ids = self.connection.resolve(targets)[1]
                msg_ids += [each for each, known in self.metadata.items() if known.engine_id in ids]
        outstanding = self.outstanding.intersection(msg_ids)
        if outstanding:
            raise RuntimeError(f"calls without a result cannot be purged: {sorted(outstanding)}")
        for msg_id in msg_ids:
            self.connection.native.forget(msg_id)

    def purge_hub_results(self, jobs: Jobs = (), targets: Targets = ()) -> None:
        """Make the hub forget records; the parameters are those of `purge_local_results`.

        Raises
        ------
        RemoteError
            If one of the calls has no result yet, or the hub does not know it.
        """
        self._check_purge(jobs, targets)
        ids = [] if _is_empty(targets) else self.connection.resolve(targets)[1]
        everything = isinstance(jobs, str) and jobs == "all"
        msg_ids = "all" if everything else self._msg_ids_of(jobs)
        self._ask_hub("purge_request", {"msg_ids": msg_ids, "engine_ids": ids})

    def purge_results(self, jobs: Jobs = (), targets: Targets = ()) -> None:
        """Forget results here and at the hub; see `purge_local_results`."""
        self.purge_local_results(jobs, targets)
        self.purge_hub_results(jobs, targets)

    def purge_everything(self) -> None:
        """Forget all results of finished calls, here and at the hub."""
        self.purge_results("all")

    @staticmethod
    def _check_purge(jobs: Jobs, targets: Targets) -> None:
        if _is_empty(jobs) and _is_empty(targets):
            raise ValueError("nothing to purge: give jobs or targets")


def _is_empty(what: Any) -> bool:
    """Tell whether jobs or targets name nothing; engine 0 and call 0 are something."""
    return what is None or (isinstance(what, str | list | tuple | set) and not what)


def _to_json(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return (value if value.tzinfo else value.astimezone()).isoformat()
    if isinstance(value, set | tuple):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return items
    raise TypeError(f"a query cannot hold {value!r}")
