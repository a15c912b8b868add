"""Sizes of chunks, with simulated engines: times are numbers, nothing runs."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest
from ipyfleet.chunking import ChunkPolicy, FixedChunks, GuidedChunks

# What a call costs an engine, whatever is in it.
CALL_S = 0.0002

Cost = Callable[[int], float]


def makespan(policy: ChunkPolicy, cost: Cost, total: int, engines: int) -> tuple[float, list[int]]:
    """Return when the last of the engines ends, and the sizes of all chunks.

    Each engine takes its next chunk when it has finished one, and then the policy knows its time.
    """
    free = [0.0] * engines
    sizes: list[int] = []
    start = 0
    while start < total:
        now = heapq.heappop(free)
        size = policy.size(total - start)
        assert 1 <= size <= total - start
        work = sum(map(cost, range(start, start + size)))
        policy.record(size, work + 0.00005)
        heapq.heappush(free, now + CALL_S + work)
        sizes.append(size)
        start += size
    return max(free), sizes


def best(cost: Cost, total: int, engines: int) -> float:
    return sum(map(cost, range(total))) / engines


@pytest.mark.parametrize("engines", [1, 4, 64])
@pytest.mark.parametrize("total", [1, 3, 40, 1000])
def test_long_items_go_alone(engines: int, total: int) -> None:
    guided, sizes = makespan(GuidedChunks(engines, total), lambda _: 0.1, total, engines)
    alone, _ = makespan(FixedChunks(1), lambda _: 0.1, total, engines)
    assert set(sizes) == {1}
    assert guided <= alone


@pytest.mark.parametrize("engines", [1, 4, 64])
def test_short_items_go_together(engines: int) -> None:
    total = 1_000_000
    end, sizes = makespan(GuidedChunks(engines, total), lambda _: 3e-7, total, engines)
    assert sum(sizes) == total
    assert max(sizes) > 10_000 if engines < 64 else max(sizes) > 1_000
    assert end < 1.3 * best(lambda _: 3e-7, total, engines) + 0.005


@pytest.mark.parametrize("item_s", [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("engines", [1, 2, 16])
def test_it_is_never_much_worse_than_one_by_one(item_s: float, engines: int) -> None:
    total = 5000
    guided, _ = makespan(GuidedChunks(engines, total), lambda _: item_s, total, engines)
    alone, _ = makespan(FixedChunks(1), lambda _: item_s, total, engines)
    assert guided <= 1.02 * alone


def test_engines_end_together_though_items_differ() -> None:
    def cost(index: int) -> float:
        return 0.002 if index % 97 == 0 else 0.00002

    end, _ = makespan(GuidedChunks(8, 50_000), cost, 50_000, 8)
    assert end < 1.1 * best(cost, 50_000, 8)


def test_items_that_become_slow_are_noticed() -> None:
    """The first half takes a microsecond each, the others 10 ms."""

    def cost(index: int) -> float:
        return 1e-6 if index < 10_000 else 0.01

    end, sizes = makespan(GuidedChunks(4, 12_000), cost, 12_000, 4)
    ideal = best(cost, 12_000, 4)
    assert end < 1.3 * ideal
    assert sizes[-1] == 1


def test_items_that_become_quick_are_noticed() -> None:
    policy = GuidedChunks(4)
    policy.record(1, 0.1)
    assert policy.size(None) == 1
    for _ in range(40):
        policy.record(policy.size(None), policy.size(None) * 1e-6)
    assert policy.size(None) > 1000


def test_one_hiccup_is_forgotten() -> None:
    policy = GuidedChunks(4)
    policy.record(10_000, 0.01)
    before = policy.size(None)
    policy.record(10_000, 1.0)
    assert policy.size(None) < before / 50
    for _ in range(10):
        policy.record(10_000, 0.01)
    assert policy.size(None) > before / 2


def test_chunks_grow_step_by_step() -> None:
    """A short chunk is mostly the cost of its call, so it says little about long ones."""
    policy = GuidedChunks(4, 1_000_000)
    assert policy.size(None) == 1
    policy.record(1, 1e-9)
    assert not policy.settled
    assert policy.size(1_000_000) == 64
    policy.record(64, 2e-5)
    assert policy.size(1_000_000) == 64 * 64


def test_without_times_guided_self_scheduling_is_all_there_is() -> None:
    policy = GuidedChunks(4, 50_000)
    assert policy.size(50_000) == 1
    policy.give_up()
    sizes = []
    left = 50_000
    while left:
        sizes.append(policy.size(left))
        left -= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 50_000 // 256
    assert sizes[-200:] == [1] * 200


def test_the_number_of_calls_has_a_limit() -> None:
    total = 10_000_000
    policy = GuidedChunks(4, total)
    policy.record(1, 0.1)
    assert policy.size(total) == 200
    assert policy.size(3) == 1


def test_few_items_are_left_for_all_engines() -> None:
    policy = GuidedChunks(4)
    policy.record(100_000, 0.01)
    assert policy.size(8) == 2
    assert policy.size(1) == 1
    assert GuidedChunks(0).size(5) == 1


def test_fixed_chunks() -> None:
    policy = FixedChunks(7)
    policy.record(7, 0.1)
    assert policy.size(None) == 7
    assert policy.size(5) == 5
