"""Engines that stop to answer (SIGSTOP) and come back: tasks move on, ids and namespaces stay."""

from __future__ import annotations

import os
import signal
import time

import ipyparallel as ipp
import pytest

from .conftest import StackFactory
from .pairings import A, C
from .polling import wait_until
from .procs import freeze
from .stack import Stack

pytestmark = pytest.mark.pairings(A, C, why="the reference forgets a frozen engine for ever")

PING = 100


def start_two(stack: Stack) -> tuple[ipp.Client, dict[int, int]]:
    """Two engines; their pids by id."""
    rc = stack.start(2, ping=PING)
    return rc, dict(zip(rc.ids, rc[:].apply_sync(os.getpid), strict=True))


def test_tasks_of_a_frozen_engine_move_and_it_comes_back(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc, pids = start_two(stack)
    rc[0].push({"kept": 42}, block=True)
    freeze(pids[0])
    try:
        view = rc.load_balanced_view()
        tasks = [view.apply_async(os.getpid) for _ in range(6)]
        assert {ar.get(timeout=20) for ar in tasks} == {pids[1]}
        wait_until(lambda: rc.ids == [1], "the frozen engine is given up", 20)
    finally:
        os.kill(pids[0], signal.SIGCONT)
    wait_until(lambda: rc.ids == [0, 1], "it is back under its id", 20)
    assert rc[0].pull("kept").get(timeout=10) == 42
    view = rc.load_balanced_view(targets=0)
    assert view.apply_async(os.getpid).get(timeout=10) == pids[0]
    status = rc.queue_status()
    assert [status[i]["tasks"] for i in (0, 1)] == [0, 0]


def test_the_only_engine_gets_its_tasks_again(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, ping=PING)
    pid = rc[0].apply_sync(os.getpid)
    freeze(pid)
    try:
        tasks = [rc.load_balanced_view().apply_async(os.getpid) for _ in range(3)]
        wait_until(lambda: rc.ids == [], "the frozen engine is given up", 20)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [ar.get(timeout=20) for ar in tasks] == [pid] * 3


def test_a_suspected_engine_gets_nothing_new_until_it_answers(make_stack: StackFactory) -> None:
    stack = make_stack()
    # Given up only after a minute: it is suspected all the time.
    rc = stack.start(2, "--HeartMonitor.max_heartmonitor_misses=600", ping=PING)
    pids = dict(zip(rc.ids, rc[:].apply_sync(os.getpid), strict=True))
    freeze(pids[0])
    try:
        time.sleep(6 * PING / 1000)
        view = rc.load_balanced_view()
        tasks = [view.apply_async(os.getpid) for _ in range(6)]
        assert {ar.get(timeout=20) for ar in tasks} == {pids[1]}
        assert rc.ids == [0, 1]
    finally:
        os.kill(pids[0], signal.SIGCONT)

    def used_again() -> bool:
        naps = [view.apply_async(os.getpid) for _ in range(4)]
        return pids[0] in {ar.get(timeout=10) for ar in naps}

    wait_until(used_again, "the engine gets tasks again", 20)


def test_a_controller_that_was_stopped_loses_nobody(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc, pids = start_two(stack)
    controller = stack.controller.pid
    freeze(controller)
    time.sleep(3)
    os.kill(controller, signal.SIGCONT)
    assert rc.load_balanced_view().apply_async(os.getpid).get(timeout=10) in pids.values()
    time.sleep(1)
    assert rc.ids == [0, 1]
