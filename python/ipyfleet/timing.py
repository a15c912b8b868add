"""How the calls of a result ran: metadata and times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from . import error
from .metadata import Metadata, read_metadata
from .waiting import WaitedResult

if TYPE_CHECKING:
    from .client import Client

__all__ = ["TimedResult"]


class TimedResult(WaitedResult):
    """The part of a result that tells how it came about."""

    client: Client
    single_result: bool
    _metadata: dict[int, Metadata]

    @property
    def metadata(self) -> Metadata | list[Metadata]:
        """What is known about how the call ran, a list unless the result is a single one."""
        found = self._all_metadata()
        return found[0] if self.single_result else found

    def _all_metadata(self) -> list[Metadata]:
        return [self.metadata_of(index) for index in range(len(self.requests))]

    def metadata_of(self, index: int) -> Metadata:
        """Return how one call ran, as far as that is known now.

        Raises
        ------
        ResultFreedError
            If the result was read and let go of.
        """
        known = self._metadata.get(index)
        if known is not None:
            return known
        request = self.requests[index]
        complete = request.done and request.output_done
        metadata = read_metadata(self.client.connection, request)
        if complete:
            self._metadata[index] = metadata
        return metadata

    def engine_of(self, index: int) -> int | None:
        """Return the id of the engine of a request, if that is known."""
        target = self.requests[index].target
        if target:
            return self.client.connection.engine_id(target)
        engine_id: int | None = self.metadata_of(index)["engine_id"]
        return engine_id

    @property
    def elapsed(self) -> float:
        """Seconds since the call was submitted, or `wall_time` once it is done."""
        if self.ready():
            return self.wall_time
        return time.time() - min(request.submitted for request in self.requests) / 1e6

    @property
    def serial_time(self) -> float:
        """Seconds that the engines worked, summed up.

        Raises
        ------
        TimeoutError
            If the results are not there yet.
        """
        self._require_ready()
        spans = [
            (metadata["completed"] - metadata["started"]).total_seconds()
            for metadata in self._all_metadata()
            if metadata["completed"] and metadata["started"]
        ]
        return sum(spans)

    @property
    def wall_time(self) -> float:
        """Seconds from the first submission to the last result.

        Raises
        ------
        TimeoutError
            If the results are not there yet.
        """
        self._require_ready()
        first = min(request.submitted for request in self.requests)
        return (max(request.received for request in self.requests) - first) / 1e6

    def timedelta(
        self,
        start: datetime | Iterable[datetime],
        end: datetime | Iterable[datetime],
        start_key: Callable[..., datetime] = min,
        end_key: Callable[..., datetime] = max,
    ) -> float:
        """Return the seconds between two dates, or between one of several and one of several.

        Parameters
        ----------
        start, end
            Dates such as ``ar.submitted`` and ``ar.received``.
        start_key, end_key
            What chooses one of several.
        """
        first = start if isinstance(start, datetime) else start_key(start)
        last = end if isinstance(end, datetime) else end_key(end)
        return (last - first).total_seconds()

    def _require_ready(self) -> None:
        if not self.ready():
            raise error.TimeoutError("Result not ready.")
