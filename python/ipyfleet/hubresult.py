"""Results of calls that other clients made, or that this one has forgotten: the hub has them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import error, serialize
from ._native import parse_date, wait_all
from .asyncresult import AsyncResult, Children
from .metadata import ExecuteReply, Metadata, to_datetime
from .waiting import Seconds, to_timeout

if TYPE_CHECKING:
    from .client import Client
    from .connection import Connection

__all__ = ["AsyncHubResult", "HubRequest"]

_POLL_FIRST_S = 0.02
_POLL_LONGEST_S = 0.5
# How long a call of somebody else may be unknown to the hub: it may be on its way there.
_ON_THE_WAY_S = 1.0


def read_date(value: Any) -> datetime | None:
    """Return a date of a record as a datetime."""
    return to_datetime(parse_date(value)) if isinstance(value, str) else value


class HubRequest:
    """A call of which the hub has a record; looks like a request of the C++ client."""

    def __init__(self, msg_id: str) -> None:
        self.msg_id = msg_id
        self.target = ""
        self.record: Mapping[str, Any] | None = None
        self.value: Any = None

    @property
    def done(self) -> bool:
        """Whether the record with the result is here."""
        return self.record is not None

    output_done = done

    @property
    def status(self) -> str:
        """As that of a request."""
        return "pending" if self.record is None else self.record["result_content"]["status"]

    def fail(self, failure: Exception) -> None:
        """Let the failure to get the result be the result."""
        self.value = failure
        self.record = {"result_content": {"status": "error"}}

    def _microseconds(self, key: str) -> int:
        record: Mapping[str, Any] = self.record or {}
        header: dict[str, Any] = (record.get("header") or {}) if key == "submitted" else {}
        date = read_date(record.get(key) or header.get("date"))
        return 0 if date is None else round(date.timestamp() * 1e6)

    @property
    def submitted(self) -> int:
        """When it was sent, in microseconds since 1970."""
        return self._microseconds("submitted") or round(time.time() * 1e6)

    @property
    def received(self) -> int:
        """When the hub heard of its result."""
        record: Mapping[str, Any] = self.record or {}
        completed: dict[str, Any] = record.get("result_header") or {}
        date = read_date(completed.get("date"))
        return self._microseconds("received") or (round(date.timestamp() * 1e6) if date else 0)

    def wait(self, timeout: Seconds | None = None) -> bool:
        """Tell whether it is done; its result waits for all of its requests together."""
        return self.done

    def outputs(self, first: int = 0) -> tuple[list[Any], bool]:
        """Return no messages: the record has the outputs put together."""
        return [], False


def read_record(
    connection: Connection,
    msg_id: str,
    record: Mapping[str, Any],
    buffers: Sequence[serialize.Buffer],
) -> tuple[Any, Sequence[serialize.Buffer]]:
    """Return the result or the error in a record, and the buffers that are left over."""
    content = record["result_content"]
    if isinstance(content, str):
        content = json.loads(content)
    if content["status"] == "aborted":
        return error.TaskAborted(msg_id), buffers
    if content["status"] != "ok":
        return connection.unwrap_exception(content), buffers
    if record["result_header"]["msg_type"] == "execute_reply":
        return ExecuteReply(msg_id, content, record_metadata(connection, msg_id, record)), buffers
    return serialize.deserialize_object(buffers)


def record_metadata(connection: Connection, msg_id: str, record: Mapping[str, Any]) -> Metadata:
    """Return what a record of the hub says of how a call ran."""
    sent: dict[str, Any] = record.get("result_metadata") or {}
    header: dict[str, Any] = record.get("result_header") or {}
    request: dict[str, Any] = record.get("header") or {}
    metadata = Metadata()
    metadata.update({key: value for key, value in record.get("io", {}).items() if key in metadata})
    for key in ("stdout", "stderr"):
        metadata[key] = metadata[key] or ""
    metadata.update(
        msg_id=msg_id,
        submitted=read_date(request.get("date")),
        started=read_date(sent.get("started")),
        completed=read_date(header.get("date")),
        received=read_date(record.get("received")),
        engine_uuid=sent.get("engine"),
        engine_id=connection.engine_id(sent.get("engine")),
        status=record["result_content"]["status"],
        label=sent.get("label"),
    )
    return metadata


class AsyncHubResult(AsyncResult):
    """A result that the hub is asked for; waiting for it asks again and again.

    Parameters
    ----------
    children
        Message ids, of any client.
    """

    def __init__(
        self,
        client: Client,
        children: Children,
        fname: str = "unknown",
        targets: Sequence[int] | None = None,
        owner: bool = False,
        return_exceptions: bool = False,
        chunk_sizes: dict[str, int] | None = None,
    ) -> None:
        self._since = time.monotonic()
        super().__init__(client, children, fname, targets, owner, return_exceptions, chunk_sizes)
        self.single_result = isinstance(children, str)

    def _find(self, children: Sequence[Any]) -> list[Any]:
        find = self.client.connection.native.find
        if isinstance(children, str):
            children = [children]
        return [
            (find(each) or HubRequest(each)) if isinstance(each, str) else each for each in children
        ]

    def _elsewhere(self) -> list[HubRequest]:
        return [request for request in self.requests if isinstance(request, HubRequest)]

    def _fetch(self) -> bool:
        """Ask the hub for what is missing; returns whether nothing is any more."""
        missing = {request.msg_id: request for request in self._elsewhere() if not request.done}
        try:
            if missing:
                self.client.fetch_records(missing)
        except (error.RemoteError, ConnectionError, error.TimeoutError) as failure:
            unknown = isinstance(failure, error.RemoteError) and failure.ename == "KeyError"
            if unknown and time.monotonic() < self._since + _ON_THE_WAY_S:
                return False
            for request in missing.values():
                request.fail(failure)
        return all(request.done for request in missing.values())

    def _wait_all(self, timeout: Seconds | None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        own = [request for request in self.requests if not isinstance(request, HubRequest)]
        if not wait_all(own, timeout):
            return False
        pause = _POLL_FIRST_S
        while not self._fetch():
            if end is not None and time.monotonic() >= end:
                return False
            time.sleep(pause if end is None else min(pause, max(0.0, end - time.monotonic())))
            pause = min(2 * pause, _POLL_LONGEST_S)
        return True

    def _wait_for_some(self, timeout: Seconds | None, return_when: str | None) -> Any:
        self.wait(timeout)
        parts = self.split()
        done = {part for part in parts if part.ready()}
        return done, set(parts) - done

    def _part(self, index: int, targets: list[int] | None) -> AsyncResult:
        part = AsyncHubResult(self.client, [self.requests[index]], self.fname, targets)
        part.single_result = True
        return part

    def ready(self) -> bool:
        """Ask the hub whether all results are there."""
        if not self._ready:
            self._ready = self._wait_all(0)
        return self._ready

    def wait_for_output(self, timeout: Seconds | None = -1) -> bool:
        """Wait for the results; the hub has the output by then."""
        return self._wait_all(to_timeout(timeout))

    def _read_value(self, index: int) -> Any:
        request = self.requests[index]
        return request.value if isinstance(request, HubRequest) else super()._read_value(index)

    def metadata_of(self, index: int) -> Metadata:
        """Return how one call ran, from its record; only its id if there is no record yet."""
        request = self.requests[index]
        if not isinstance(request, HubRequest):
            return super().metadata_of(index)
        if request.record is None:
            return Metadata(msg_id=request.msg_id)
        return record_metadata(self.client.connection, request.msg_id, request.record)

    @property
    def progress(self) -> int:
        """Number of results that are there, out of ``len(self)``."""
        self._fetch()
        return sum(request.done for request in self.requests)

    def _iterate(self) -> Iterator[Any]:
        self.wait()
        return super()._iterate()

    def __await__(self) -> Any:
        import asyncio

        return asyncio.to_thread(self.get).__await__()

    def _watch_requests(self) -> None:
        def wait() -> None:
            self.wait()
            self._finish()

        if self._ready:
            self._finish()
        else:
            threading.Thread(target=wait, name="ipyfleet-hub-result", daemon=True).start()
