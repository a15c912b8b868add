#!/usr/bin/env python3
"""Looks for numbers without an end on the engines of a running cluster, and stops when it has some.

Start a cluster first:  ipcluster start -n 4 --daemonize
then run:               python examples/endless_search.py

Shows maps over endless input, results in asyncio, and the cancelling of a call that runs.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from typing import Any

SECONDS_TO_CONNECT = 10
WANTED = 5
FIRST = 10**9
RUNNERS = {"hare": 10**5, "tortoise": 10**12}


def is_prime(number: int) -> tuple[int, bool]:
    """Return the number and whether it is prime."""
    return number, number > 1 and all(number % i for i in range(2, int(number**0.5) + 1))


def find_primes(view: Any) -> list[int]:
    """Return the first primes above a bound; no more of the input is read than needed."""
    candidates = view.imap(is_prime, itertools.count(FIRST), max_outstanding=2 * len(view))
    found = (number for number, prime in candidates if prime)
    primes = list(itertools.islice(found, WANTED))
    candidates.cancel()
    return primes


async def race(view: Any) -> str:
    """Return which of two calls ends first, and stop the other one."""
    import ipyfleet as ipp

    @ipp.interactive
    def count_to(limit: int) -> int:
        number = 0
        while number < limit:
            number += 1
        return number

    calls = {name: view.apply_async(count_to, limit) for name, limit in RUNNERS.items()}
    waiting = {asyncio.ensure_future(_named(name, call)) for name, call in calls.items()}
    done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    winner = done.pop().result()
    losers = [call for name, call in calls.items() if name != winner]
    stopped = [await asyncio.to_thread(call.cancel) for call in losers]
    return f"{winner} won, stopped: {stopped}"


async def _named(name: str, call: Any) -> str:
    await call
    return name


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--profile", help="profile of the cluster")
    parser.add_argument("--cluster-id", default="", help="id of the cluster")
    options = parser.parse_args()

    import ipyfleet as ipp

    try:
        rc = ipp.Client(
            profile=options.profile, cluster_id=options.cluster_id, timeout=SECONDS_TO_CONNECT
        )
        rc.wait_for_engines(2, timeout=SECONDS_TO_CONNECT)
    except (OSError, ipp.TimeoutError) as failure:
        print(f"error: no cluster to work on: {failure}", file=sys.stderr)
        return 1
    with rc:
        view = rc.load_balanced_view()
        begin = time.perf_counter()
        print(f"primes: {find_primes(view)}")
        print(asyncio.run(race(view)))
        print(f"engines are free again: {sorted(view.map_sync(abs, [-1, -2]))}")
        print(f"{time.perf_counter() - begin:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
