"""Results that are let go of once they were read, and maps that keep nothing of the past."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import tracemalloc
from pathlib import Path
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, Cluster, nap

T = 30
MEGABYTE = 2**20


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def megabytes(count: int) -> bytes:
    """Return so much on an engine."""
    return bytes(count * 2**20)


megabytes.__module__ = "__main__"


# ---- results that were read ---------------------------------------------------------------------


def test_what_was_read_is_gone(rc: ipp.Client) -> None:
    view = rc[:]
    result = view.apply_async(pow, 2, 3)
    result.keep_results = False
    assert result.get(T) == [8] * ENGINES
    assert not set(result.msg_ids) & set(rc.history)
    assert result.done()
    assert result.successful()
    assert result.progress == len(result) == ENGINES
    assert result.wall_time > 0
    assert repr(result).endswith("finished>")
    for read in (result.get, lambda: result.stdout, lambda: result[0], lambda: result.metadata):
        with pytest.raises(ipp.ResultFreedError, match="keep_results is False"):
            read()


def test_a_view_that_keeps_no_results(rc: ipp.Client) -> None:
    for view in (rc[:], rc[0], rc.load_balanced_view(), rc.broadcast_view()):
        assert view.keep_results
        with view.temp_flags(keep_results=False):
            result = view.apply_async(abs, -1)
        assert result.get(T) in (1, [1] * ENGINES)
        assert not set(result.msg_ids) & set(rc.history)
        assert view.apply_async(abs, -1).keep_results


def test_a_client_that_keeps_no_results(cluster: Cluster) -> None:
    with ipp.Client(cluster.file, timeout=20, keep_results=False) as rc:
        rc.wait_for_engines(ENGINES, timeout=T)
        view = rc.load_balanced_view()
        assert view.apply_sync(abs, -5) == 5
        assert view.map_sync(abs, range(-100, 0), chunksize=10) == list(range(100, 0, -1))
        assert rc[:].map_sync(abs, [-1, -2]) == [1, 2]
        assert list(view.imap(abs, [-1, -2])) == [1, 2]
        rc[:].scatter("x", range(4), block=True)
        assert rc[:].gather("x", block=True) == [0, 1, 2, 3]
        assert rc.history == []
        executed = rc[:].execute("print('still there')", block=True)
        assert executed.stdout == ["still there\n"] * ENGINES


def test_what_raised_stays(rc: ipp.Client) -> None:
    result = rc[0].apply_async(pow, 0, -1)
    result.keep_results = False
    for _ in range(2):
        with pytest.raises(ipp.RemoteError, match="ZeroDivisionError"):
            result.get(T)
    assert isinstance(result.get(return_exceptions=True), ipp.RemoteError)


@pytest.mark.parametrize("ordered", [True, False])
def test_chunks_go_while_a_map_is_iterated_over(rc: ipp.Client, ordered: bool) -> None:
    view = rc.load_balanced_view()
    result = view.map_async(abs, range(20), chunksize=5, ordered=ordered, keep_results=False)
    items = iter(result)
    assert next(items) % 5 == 0
    assert len(set(result.msg_ids) & set(rc.history)) == 4
    assert sorted(itertools.chain([0 if ordered else -1], items))[-1] == 19
    assert not set(result.msg_ids) & set(rc.history)
    assert result.ready()
    assert result.progress == 20
    assert result.wait_for_output(T)
    with pytest.raises(ipp.ResultFreedError):
        next(iter(result))


def test_some_are_read_while_others_run(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    result = view.map_async(nap, [0, 0.5], ["early", "late"], keep_results=False)
    items = iter(result)
    assert [next(items), result.progress, result.ready()] == ["early", 1, False] or result.ready()
    assert next(items) == "late"
    with pytest.raises(StopIteration):
        next(items)
    assert result.wait(T)


def test_chunks_go_in_asyncio(rc: ipp.Client) -> None:
    async def main(ordered: bool) -> list[Any]:
        view = rc.load_balanced_view()
        result = view.map_async(abs, range(6), chunksize=2, ordered=ordered, keep_results=False)
        found = [item async for item in result]
        assert not set(result.msg_ids) & set(rc.history)
        return found

    assert asyncio.run(main(True)) == list(range(6))
    assert sorted(asyncio.run(main(False))) == list(range(6))


def test_memory_comes_back(rc: ipp.Client) -> None:
    """Forty results of 4 MB each; kept, they are 160 MB."""
    view = rc.load_balanced_view()
    view.apply_sync(megabytes, 4)
    before = resident()
    for data in view.map_async(megabytes, [4] * 40, keep_results=False):
        assert len(data) == 4 * MEGABYTE
    # malloc may keep some of what was freed.
    assert resident() - before < 120 * MEGABYTE


# ---- maps that keep nothing ---------------------------------------------------------------------


def test_a_long_imap_stays_flat(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    results = view.imap(abs, itertools.count(), chunksize=500, max_outstanding=4000)
    assert next(itertools.islice(results, 50_000, None)) == 50_000
    tracemalloc.start()
    try:
        before, memory = tracemalloc.get_traced_memory()[0], resident()
        assert next(itertools.islice(results, 150_000, None)) == 200_001
        assert tracemalloc.get_traced_memory()[0] - before < MEGABYTE
        assert resident() - memory < 16 * MEGABYTE
    finally:
        tracemalloc.stop()
        results.cancel()
    assert len(list(results)) <= 4000 + 500


def test_an_imap_that_keeps_no_results_leaves_nothing(rc: ipp.Client) -> None:
    view = rc.load_balanced_view(keep_results=False)
    before = len(rc.history)
    assert sum(view.imap(abs, range(2000), max_outstanding=100)) == sum(range(2000))
    assert len(rc.history) == before
