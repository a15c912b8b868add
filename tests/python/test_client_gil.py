"""The client's own thread needs no GIL, and waiting gives it up."""

from __future__ import annotations

import sys
import threading
import time

import ipyfleet as ipp
from conftest import ENGINES, nap

T = 30


def test_results_are_received_while_python_is_busy(rc: ipp.Client) -> None:
    results = [rc[n].apply_async(nap, 0.2) for n in range(ENGINES)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        # Nothing in here lets another thread have the GIL.
        end = time.monotonic() + T
        while not all(result.requests[0].done for result in results) and time.monotonic() < end:
            sum(range(1_000_000))
        received = time.monotonic() < end
    finally:
        sys.setswitchinterval(interval)
    assert received
    assert all(result.ready() for result in results)


def test_others_run_while_one_waits(rc: ipp.Client) -> None:
    waiting = threading.Event()
    ended = threading.Event()
    counted = 0

    def count() -> None:
        nonlocal counted
        waiting.wait(T)
        while not ended.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    result = rc[0].apply_async(nap, 0.3)
    waiting.set()
    result.get(T)
    ended.set()
    thread.join()
    assert counted > 1000


def test_a_busy_thread_does_not_starve_a_call(rc: ipp.Client) -> None:
    """Each call needs the GIL a few times, which the other thread gives up every 5 ms."""
    ended = threading.Event()

    def burn() -> None:
        while not ended.is_set():
            sum(range(100))

    thread = threading.Thread(target=burn)
    thread.start()
    try:
        assert [rc[0].apply_sync(pow, 2, n) for n in range(10)] == [2**n for n in range(10)]
    finally:
        ended.set()
        thread.join()


def test_an_idle_client_uses_no_processor(rc: ipp.Client) -> None:
    rc[:].apply_sync(pow, 2, 3)
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05
