#!/usr/bin/env python3
"""Counts the identifiers in the Python standard library on the engines of a running cluster.

Start a cluster first:  ipcluster start -n 4 --daemonize
then run:               python examples/quickstart.py

The work is done twice, on one engine and on all, to show the speed-up.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import time
from collections import Counter
from pathlib import Path
from typing import Any

WANTED_ENGINES = 4
SECONDS_TO_CONNECT = 10
SECONDS_FOR_ENGINES = 5
BATCHES = 48
SKIPPED = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__"}


def count_identifiers(paths: list[str]) -> tuple[int, dict[str, int]]:
    """Return the pid of the engine and how often each identifier is in the files.

    The function is sent to the engines, so it imports what it needs itself.
    """
    import keyword
    import os
    import tokenize
    from collections import Counter

    counts: Counter[str] = Counter()
    for path in paths:
        with tokenize.open(path) as file:
            names = (
                token.string
                for token in tokenize.generate_tokens(file.readline)
                if token.type == tokenize.NAME
            )
            counts.update(name for name in names if not keyword.iskeyword(name))
    return os.getpid(), dict(counts)


def standard_library() -> list[list[str]]:
    """Return the source files of the standard library in batches of about the same size."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [
        path
        for path in root.rglob("*.py")
        if not SKIPPED.intersection(path.relative_to(root).parts)
    ]
    batches: list[list[str]] = [[] for _ in range(BATCHES)]
    sizes = [0] * BATCHES
    for size, path in sorted(((path.stat().st_size, str(path)) for path in files), reverse=True):
        smallest = sizes.index(min(sizes))
        batches[smallest].append(path)
        sizes[smallest] += size
    return [batch for batch in batches if batch]


def run(view: Any, batches: list[list[str]], title: str) -> tuple[float, Counter[str], set[int]]:
    """Count on the engines of a view; return the seconds, the counts and the engines' pids."""
    total: Counter[str] = Counter()
    pids: set[int] = set()
    start = time.perf_counter()
    results = view.map_async(count_identifiers, batches, ordered=False)
    for done, (pid, counts) in enumerate(results, 1):
        total.update(counts)
        pids.add(pid)
        if sys.stdout.isatty() or done == len(batches):
            end = "\n" if done == len(batches) else "\r"
            print(f"{title}: {done} of {len(batches)} batches", end=end, flush=True)
    return time.perf_counter() - start, total, pids


def connect(options: argparse.Namespace) -> Any:
    """Return a client with at least one engine, or end the program with one clear line."""
    if options.peer_client:
        try:
            import ipyparallel as parallel
        except ImportError:
            sys.exit("error: --peer-client needs the package ipyparallel")
    else:
        import ipyfleet as parallel  # type: ignore[no-redef]
    named = f" --profile {options.profile}" if options.profile else ""
    named += f" --cluster-id {options.cluster_id}" if options.cluster_id else ""
    remedy = f"start one with: ipcluster start -n {WANTED_ENGINES}{named}"
    try:
        rc = parallel.Client(
            profile=options.profile, cluster_id=options.cluster_id, timeout=SECONDS_TO_CONNECT
        )
    except FileNotFoundError:
        sys.exit(f"error: no cluster is running; {remedy}")
    except (OSError, ValueError) as failure:
        reason = str(failure).strip().splitlines()[0]
        sys.exit(f"error: cannot connect to a cluster: {reason}; {remedy}")
    try:
        rc.wait_for_engines(WANTED_ENGINES, timeout=SECONDS_FOR_ENGINES)
    except TimeoutError:
        if not rc.ids:
            rc.close()
            sys.exit(f"error: the cluster has no engines; {remedy}")
    return rc


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(
        description="Counts the identifiers in the Python standard library on a running cluster."
    )
    parser.add_argument("--profile", help="IPython profile of the cluster")
    parser.add_argument("--cluster-id", help="id of the cluster in that profile")
    parser.add_argument(
        "--peer-client", action="store_true", help="use the client of ipyparallel, unmodified"
    )
    options = parser.parse_args()

    with connect(options) as rc:
        batches = standard_library()
        ids = rc.ids
        print(f"{sum(map(len, batches))} files of the standard library, {len(ids)} engines")
        one, counts, _ = run(rc.load_balanced_view(targets=[ids[0]]), batches, "1 engine")
        every, again, pids = run(rc.load_balanced_view(), batches, f"{len(ids)} engines")
    if counts != again:
        sys.exit("error: one engine and all engines counted differently")

    print("\nThe commonest identifiers:")
    for name, count in counts.most_common(20):
        print(f"{count:9,d}  {name}")
    print(f"\n1 engine:  {one:6.2f} s")
    print(f"{len(ids)} engines: {every:6.2f} s, {one / every:.2f} times as fast")
    print(f"engine pids: {' '.join(map(str, sorted(pids)))}")


if __name__ == "__main__":
    main()
