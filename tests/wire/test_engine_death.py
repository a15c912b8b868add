"""Engines that die in every way: named errors in time, all others go on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError

from .conftest import StackFactory
from .pairings import B, C, Pairing
from .polling import holds_for, wait_until
from .stack import Stack

T = 20.0
PING_MS = 300
# "Within two heartbeat periods" and the time the client needs; the reference's scheduler waits
# for late results for 5 s before it gives a task up (protocol.md 5.5).
BOUND_OURS = 2 * PING_MS / 1000 + 1.0
BOUND_REFERENCE_TASK = 5 + BOUND_OURS


def task_bound(pairing: Pairing) -> float:
    """Seconds until a load-balanced task of a dead engine must have failed."""
    return BOUND_OURS if pairing.our_controller else BOUND_REFERENCE_TASK


@interactive
def hang(path: str) -> None:
    """Write the pid into ``path``, then sleep for a minute."""
    import os
    import pathlib
    import time

    temporary = pathlib.Path(path + ".new")
    temporary.write_text(str(os.getpid()))
    temporary.rename(path)
    time.sleep(60)


@interactive
def nap(seconds: float) -> int:
    """Sleep; return the pid."""
    import os
    import time

    time.sleep(seconds)
    return os.getpid()


@interactive
def exit_at_once() -> None:
    """Leave without any clean-up."""
    import os

    os._exit(7)


def start_hanging(stack: Stack, view: ipp.client.view.View) -> tuple[ipp.AsyncResult, int]:
    """Submit a task that hangs; returns it and the pid of its engine."""
    path = Path(stack.root / "pid")
    ar = view.apply_async(hang, str(path))
    wait_until(path.exists, "the hanging task runs")
    return ar, int(path.read_text())


def expect_engine_error(ar: ipp.AsyncResult, since: float, bound: float) -> None:
    """The task must fail with EngineError within ``bound`` seconds after ``since``."""
    with pytest.raises(RemoteError) as caught:
        ar.get(timeout=bound + 5)
    took = time.monotonic() - since
    assert caught.value.ename == "EngineError"
    assert took < bound, f"EngineError took {took:.1f} s"


def test_kill_9_in_a_direct_call(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, ping=PING_MS)
    ar, pid = start_hanging(stack, rc[0])
    queued = rc[0].apply_async(os.getpid)
    other = rc[1].apply_async(nap, 0.5)
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    expect_engine_error(ar, killed, BOUND_OURS)
    expect_engine_error(queued, killed, BOUND_OURS)
    assert rc.ids == [1]
    assert other.get(timeout=T) == rc[1].apply_sync(os.getpid)
    assert stack.client().ids == [1]
    stack.add_engines(rc, 1)
    assert len(rc[:].apply_async(os.getpid).get(timeout=T)) == 2


def test_kill_9_in_a_balanced_task(make_stack: StackFactory, pairing: Pairing) -> None:
    stack = make_stack()
    rc = stack.start(2, ping=PING_MS)
    view = rc.load_balanced_view()
    ar, pid = start_hanging(stack, view)
    others = [view.apply_async(nap, 0.1) for _ in range(6)]
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    survivor = {task.get(timeout=T) for task in others}
    assert len(survivor) == 1
    assert pid not in survivor
    expect_engine_error(ar, killed, task_bound(pairing))
    assert view.apply_async(nap, 0).get(timeout=T) in survivor


def test_retries_move_the_task_of_a_dead_engine(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, ping=PING_MS)
    view = rc.load_balanced_view()

    @interactive
    def die_once(path: str) -> int:
        import os
        import pathlib

        try:
            pathlib.Path(path).touch(exist_ok=False)
        except FileExistsError:
            return os.getpid()
        os._exit(1)

    with view.temp_flags(retries=1):
        ar = view.apply_async(die_once, str(stack.root / "died"))
    assert ar.get(timeout=T) == rc[rc.ids[0]].apply_sync(os.getpid)
    assert len(rc.ids) == 1


def test_broadcast_to_an_engine_that_dies(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, ping=PING_MS)
    pids = rc[:].apply_sync(os.getpid)

    @interactive
    def die(victim: int) -> int:
        import os

        if os.getpid() == victim:
            os._exit(1)
        return os.getpid()

    ar = rc.broadcast_view().apply_async(die, pids[0])
    with pytest.raises(RemoteError, match="EngineError"):
        ar.get(timeout=T)
    assert rc.broadcast_view().apply_async(os.getpid).get(timeout=T) == [pids[1]]


@pytest.mark.parametrize("way", ["SIGTERM", "_exit", "SIGKILL nanny"])
def test_an_engine_that_goes_is_unregistered_at_once(
    make_stack: StackFactory, way: str, pairing: Pairing
) -> None:
    stack = make_stack()
    # Both have heard of the engines by notification: the reference repeats none to late listeners.
    stack.start_controller(ping=PING_MS)
    watcher = stack.client()
    rc = stack.start_engines(2)
    wait_until(lambda: watcher.ids == [0, 1], "the second client knows both", T)
    pids = rc[:].apply_sync(os.getpid)
    gone = time.monotonic()
    if way == "_exit":
        expect_engine_error(rc[0].apply_async(exit_at_once), gone, BOUND_OURS)
    elif way == "SIGTERM":
        os.kill(pids[0], signal.SIGTERM)
    else:
        first = next(p for p in stack.engines if is_parent_or_self(p.pid, pids[0]))
        os.kill(first.pid, signal.SIGKILL)
    bound = 5.0 if pairing.our_engines else 10.0
    for client in (rc, watcher):
        wait_until(lambda c=client: c.ids == [1], "client.ids shrinks", bound)
    assert rc[1].apply_sync(os.getpid) == pids[1]
    wait_until(lambda: not Path(f"/proc/{pids[0]}/cwd").exists(), "the engine's process ended")


def is_parent_or_self(pid: int, child: int) -> bool:
    """Whether ``pid`` is ``child`` or its parent."""
    status = Path(f"/proc/{child}/status").read_text()
    parent = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid"))
    return str(pid) in {str(child), parent}


def test_all_engines_die_and_new_ones_take_over(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, ping=PING_MS)
    view = rc.load_balanced_view()
    for pid in rc[:].apply_sync(os.getpid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: rc.ids == [], "no engine left in client.ids")
    waiting = stack.client()
    assert waiting.ids == []
    stack.add_engines(rc, 1)
    assert view.apply_async(nap, 0).get(timeout=T)


# --- an engine whose Python can not run -----------------------------------------------------------


@interactive
def hold_the_gil(path: str, seconds: float) -> None:
    """Sleep in C without releasing the GIL."""
    import ctypes
    import pathlib

    pathlib.Path(path).touch()
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@pytest.mark.pairings(B, C, why="the reference's engine needs the GIL for control messages")
def test_an_engine_that_holds_the_gil_is_alive_and_obeys(
    make_stack: StackFactory,
) -> None:
    stack = make_stack()
    ping_ms = 150  # dead after 11 silent periods: 1.65 s
    rc = stack.start(2, ping=ping_ms)
    running = stack.root / "running"
    started = time.monotonic()
    ar = rc[0].apply_async(hold_the_gil, str(running), 4)
    queued = [rc[0].apply_async(os.getpid) for _ in range(2)]
    wait_until(running.exists, "the call holds the GIL")
    rc[0].abort(queued, block=True)
    status = rc.queue_status(0)
    assert time.monotonic() - started < 2, "abort waited for the GIL"
    assert status["queue"] >= 1
    holds_for(lambda: rc.ids == [0, 1], "the engine counts as alive", 2.5)
    assert not ar.ready()
    assert rc[1].apply_sync(interactive(lambda: 5)) == 5
    ar.get(timeout=T)
    for task in queued:
        with pytest.raises(ipp.error.TaskAborted):
            task.get(timeout=T)
    assert rc[0].apply_async(interactive(lambda: 6)).get(timeout=T) == 6


@pytest.mark.pairings(B, C, why="the reference's heart needs no GIL either, but runs in Python")
def test_a_huge_power_does_not_cost_the_registration(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, ping=100)
    ar = rc[0].apply_async(interactive(lambda: (3**6_000_000 % 7, 1)[1]))
    holds_for(lambda: rc.ids == [0], "the engine counts as alive", 1.5)
    assert ar.get(timeout=60) == 1
    assert rc.ids == [0]
