#!/usr/bin/env python3
"""Crashes an engine of a running cluster, and cancels what runs on another; the work goes on.

Start a cluster first:  ipcluster start -n 2 --daemonize
then run:               python examples/engine_life.py

Shows which Python the engines run, what a crash is for who waits for a result, tasks that are tried
again elsewhere, engines that come back under their id, and a cancelled call that costs no data.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SECONDS_TO_CONNECT = 10
SECONDS_TO_COME_BACK = 20


def which_python() -> str:
    """Return the program that an engine is."""
    import sys

    return sys.executable


def process_id() -> int:
    """Return the process of an engine."""
    import os

    return os.getpid()


def crash() -> None:
    """End the engine as a broken C library would."""
    import ctypes

    ctypes.string_at(0)


def crash_once(marker: str) -> str:
    """End the first engine that comes here; the next one has an answer."""
    import ctypes
    import os
    import pathlib

    try:
        pathlib.Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return f"answered by another process: {os.path.basename(marker)} was there"
    ctypes.string_at(0)
    return "not reached"


def sleep(seconds: float) -> None:
    """Take long."""
    import time

    time.sleep(seconds)


def process_of(rc: Any, engine: int, old: int) -> int | None:
    """Return the process of an engine once it is another one; None if none comes."""
    import ipyfleet as ipp

    end = time.monotonic() + SECONDS_TO_COME_BACK
    while time.monotonic() < end:
        try:
            found = rc[engine].apply_async(process_id).get(timeout=5) if engine in rc.ids else old
        except ipp.RemoteError:
            continue  # it went to the engine that was just dying
        if found != old:
            return found
        time.sleep(0.05)
    return None


def show(rc: Any, directory: str) -> None:
    """Do what the title says."""
    import ipyfleet as ipp

    engine, other = sorted(rc.ids)[:2]
    print(f"the engines run {', '.join(sorted(set(rc[:].apply_sync(which_python))))}")

    old = rc[engine].apply_sync(process_id)
    try:
        rc[engine].apply_sync(crash)
    except ipp.RemoteError as failure:
        print(f"a crash is an {failure.ename} for who waits")
    new = process_of(rc, engine, old)
    print(f"engine {engine} is back" if new else f"engine {engine} is gone: --restart=never")

    view = rc.load_balanced_view()
    view.retries = 1
    print(f"with retries: {view.apply_sync(crash_once, str(Path(directory, 'marker')))}")
    rc.wait_for_engines(2, timeout=SECONDS_TO_COME_BACK)

    rc[other].push({"data": list(range(1000))})
    call = rc[other].apply_async(sleep, 1000)
    print(f"cancelled: {call.cancel()}, and engine {other} keeps its data: "
          f"{len(rc[other].pull('data', block=True))} items")  # fmt: skip


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
    with rc, tempfile.TemporaryDirectory() as directory:
        show(rc, directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
