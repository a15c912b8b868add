#!/usr/bin/env python3
"""Runs a small graph of tasks behind a flood of unimportant ones, on a running cluster.

Start a cluster first:  ipcluster start -n 2 --daemonize
then run:               python examples/dag_and_priorities.py

A flood of low priority keeps the engines busy. A graph of four tasks is sent after it and yet is
through long before the flood: its tasks wait only for each other. A task that runs for too long is
stopped, and the controller says why a task waits.
"""

from __future__ import annotations

import argparse
import sys
import time

SECONDS_TO_CONNECT = 10
FLOOD = 200


def work(name: str, seconds: float) -> str:
    """Stand for real work; imports what it needs, because it runs on an engine."""
    import time

    time.sleep(seconds)
    return name


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description="Priorities, dependencies and limits of tasks.")
    parser.add_argument("--profile", help="profile of the cluster")
    parser.add_argument("--cluster-id", default="", help="id of the cluster")
    options = parser.parse_args()

    import ipyfleet as ipp

    try:
        rc = ipp.Client(
            profile=options.profile, cluster_id=options.cluster_id, timeout=SECONDS_TO_CONNECT
        )
        rc.wait_for_engines(1, timeout=SECONDS_TO_CONNECT)
    except (OSError, ipp.TimeoutError) as failure:
        print(f"error: no cluster to work on: {failure}", file=sys.stderr)
        return 1
    task = ipp.interactive(work)
    view = rc.load_balanced_view()
    begin = time.perf_counter()

    with view.temp_flags(priority=-10, label="flood"):
        flood = [view.apply_async(task, f"flood {i}", 0.02) for i in range(FLOOD)]

    # load -> (clean, index) -> report
    load = view.apply_async(task, "load", 0.05)
    with view.temp_flags(after=load):
        clean = view.apply_async(task, "clean", 0.05)
        index = view.apply_async(task, "index", 0.05)
    with view.temp_flags(after=[clean, index]):
        report = view.apply_async(task, "report", 0.05)
    with view.temp_flags(after=ipp.Dependency(report, success=False, failure=True)):
        alarm = view.apply_async(task, "alarm", 0)

    why = rc.explain(report)[report.msg_ids[0]]
    print(f"report is {why['state']}: {why['reason']}")
    report.get()
    done = sum(ar.ready() for ar in flood)
    print(f"the graph was through after {time.perf_counter() - begin:.2f} s")
    print(f"of the flood, {done} of {FLOOD} tasks were done by then")
    for name, ar in (("alarm", alarm), ("slow", None)):
        if ar is None:
            with view.temp_flags(run_timeout=0.2):
                ar = view.apply_async(task, "slow", 60)
        try:
            ar.get()
        except ipp.RemoteError as failure:
            print(f"{name}: {failure.ename}")
    for ar in flood:
        ar.get()
    print(f"the flood was through after {time.perf_counter() - begin:.2f} s")
    rc.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
