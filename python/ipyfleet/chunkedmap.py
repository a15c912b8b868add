"""Sending the chunks of a map whose length is known, and measuring how long chunks take."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._native import Completions, parse_date
from .chunking import ChunkPolicy, GuidedChunks

if TYPE_CHECKING:
    from ._native import Request

__all__ = ["engine_seconds", "send_guided", "send_rest"]

Send = Callable[[int, int], "Request"]

# So long a map may wait for the times of its first items.
_MEASURE_S = 0.02


def engine_seconds(request: Request) -> float | None:
    """Return how long an engine worked on a call; None if its reply does not tell."""
    if request.status != "ok":
        return None
    started = json.loads(request.metadata).get("started")
    completed = json.loads(request.header).get("date")
    if not isinstance(started, str) or not isinstance(completed, str):
        return None
    begin, end = parse_date(started), parse_date(completed)
    return None if begin is None or end is None else max(0, end - begin) / 1e6


def send_rest(
    send: Send, policy: ChunkPolicy, start: int, count: int
) -> tuple[list[Request], list[int]]:
    """Send the items from `start` to `count` at once.

    Parameters
    ----------
    send
        Sends so many items (second argument) from an index on (first argument).
    policy
        Says how many items are sent together.
    start, count
        The first item and the number of all.

    Returns
    -------
    tuple
        The requests, and the number of items in each.
    """
    requests: list[Request] = []
    sizes: list[int] = []
    while start < count:
        size = policy.size(count - start)
        requests.append(send(start, size))
        sizes.append(size)
        start += size
    return requests, sizes


def send_guided(send: Send, count: int, engines: int) -> tuple[list[Request], list[int]]:
    """Send all items in chunks that suit how long items take; see `GuidedChunks`.

    The first few items are sent alone and waited for, then a few more together, until times are
    known well enough; that takes 20 ms at most. If nothing is back by then, items take long or the
    engines have other work, and guided self-scheduling without times does well.

    Parameters
    ----------
    send, count
        As in `send_rest`.
    engines
        How many engines there are.

    Returns
    -------
    tuple
        The requests, and the number of items in each.
    """
    policy = GuidedChunks(engines, count)
    requests: list[Request] = []
    sizes: list[int] = []
    start = 0
    end = time.monotonic() + _MEASURE_S
    # With few items there is nothing to gain: they go out alone anyway.
    while engines and count - start > 2 * engines and not policy.settled:
        first = len(requests)
        for _ in range(min(engines, count - start)):
            size = policy.size(count - start)
            requests.append(send(start, size))
            sizes.append(size)
            start += size
        finished = Completions(requests[first:]).next(max(0.0, end - time.monotonic()))
        indices = [first + each for each in finished]
        times = [(engine_seconds(requests[index]), sizes[index]) for index in indices]
        rates = [(seconds / size, size) for seconds, size in times if seconds is not None]
        if not rates:
            policy.give_up()
            break
        # Whoever was quicker was not held up by other programs.
        quickest, size = min(rates)
        policy.record(size, quickest * size)
    rest, rest_sizes = send_rest(send, policy, start, count)
    return requests + rest, sizes + rest_sizes
