"""Maps of the Python client: chunksize="auto", and a million results through imap.

Needs a running cluster of nothing else to do: ``ipcluster start -n 4``. Prints one line of JSON for
each figure: items a second (best and worst of the rounds), calls, and for imap the resident
memory in MB after a tenth of the items and at its highest from then on.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipyfleet as ipp

PAGE = os.sysconf("SC_PAGE_SIZE")


def noop(x: Any) -> Any:
    return x


def sleep_100_ms(x: Any) -> Any:
    import time

    time.sleep(0.1)
    return x


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def rates(items: int, rounds: int, run: Callable[[], Any]) -> dict[str, int]:
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        found.append(items / (time.perf_counter() - start))
    return {"items": items, "per_s_min": round(min(found)), "per_s_max": round(max(found))}


def measure_map(view: ipp.LoadBalancedView, items: int, rounds: int) -> dict[str, Any]:
    result = view.map_async(noop, range(items), chunksize="auto")
    assert result.get() == list(range(items))
    calls = len(result.msg_ids)
    return {
        "what": "map, auto, no-op",
        "calls": calls,
        **rates(items, rounds, lambda: view.map_sync(noop, range(items), chunksize="auto")),
    }


def measure_slow(view: ipp.LoadBalancedView, chunksize: Any, rounds: int) -> dict[str, Any]:
    run = lambda: view.map_sync(sleep_100_ms, range(40), chunksize=chunksize)  # noqa: E731
    return {"what": f"map, {chunksize}, 100 ms", **rates(40, rounds, run)}


def measure_imap(view: ipp.LoadBalancedView, items: int, **options: Any) -> dict[str, Any]:
    start = time.perf_counter()
    early = highest = 0.0
    for count, item in enumerate(view.imap(noop, range(items), **options)):
        assert item == count or not options.get("ordered", True)
        if count == items // 10:
            early = highest = resident_mb()
        elif early and count % 1000 == 0:
            highest = max(highest, resident_mb())
    seconds = time.perf_counter() - start
    return {
        "what": f"imap {options}",
        "items": items,
        "per_s": round(items / seconds),
        "mb_early": round(early, 1),
        "mb_highest": round(highest, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=1_000_000)
    options = parser.parse_args()
    with ipp.Client() as rc:
        view = rc.load_balanced_view()
        view.map_sync(noop, range(100))
        found: list[dict[str, Any]] = [
            measure_imap(view, options.items, chunksize="auto"),
            measure_imap(view, options.items, chunksize="auto", ordered=False),
            measure_imap(view, options.items // 10, max_outstanding=1000),
        ]
        found += [measure_map(view, items, options.rounds) for items in (10_000, options.items)]
        found += [measure_slow(view, chunksize, options.rounds) for chunksize in (1, "auto")]
    for each in found:
        print(json.dumps(each))


if __name__ == "__main__":
    main()
