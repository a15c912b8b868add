"""Engines that lose their controller keep their namespace and come back under their id."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import ipyparallel as ipp
import pytest
from ipyparallel import interactive

from .conftest import StackFactory
from .hosts import Lan
from .pairings import B, C, Pairing
from .polling import WaitTimeoutError, wait_until
from .stack import Stack

FULL = os.environ.get("IPF_FULL", "") not in {"", "0"}
# 300 is the longest case of the list of abuse cases; it is run by hand.
AWAY_S = [
    float(x) for x in os.environ.get("IPF_PARTITION_SECONDS", "15 30" if FULL else "12").split()
]
T = 20.0
PING = 300

pytestmark = pytest.mark.pairings(B, C, why="the reference's engines do not come back")


def expect_engine(stack: Stack, pid: int) -> ipp.Client:
    """The engine is back under its id, with its namespace."""
    rc = stack.client()
    try:
        wait_until(lambda: rc.ids == [0], "engine 0 is back", T)
    except WaitTimeoutError as error:
        raise AssertionError(f"{error}\n{stack.logs()}") from None
    assert rc[0].apply_async(os.getpid).get(timeout=T) == pid
    assert rc[0].pull("kept", block=True) == 42
    return rc


def start(stack: Stack, *args: str) -> tuple[ipp.Client, int]:
    """A controller and an engine that has something to keep; the engine's pid."""
    rc = stack.start(1, *args, ping=PING)
    rc[0].push({"kept": 42}, block=True)
    return rc, rc[0].apply_sync(os.getpid)


def test_a_new_controller_on_the_same_ports(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc, pid = start(stack, "--reuse")
    rc.close()
    stack.kill_controller()
    stack.start_controller("--reuse", ping=PING)
    expect_engine(stack, pid)


def test_a_new_controller_with_a_new_connection_file(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc, pid = start(stack)
    rc.close()
    stack.kill_controller()
    for role in ("client", "engine"):
        stack.connection_file(role).unlink()
    stack.start_controller(ping=PING)
    expect_engine(stack, pid)
    assert "the connection file has changed" in stack.engines[0].text()


@interactive
def finish_later(path: str) -> int:
    """Sleep a second, leave a file, answer."""
    import pathlib
    import time

    pathlib.Path(path + ".begun").touch()
    time.sleep(1)
    pathlib.Path(path).touch()
    return 43


@pytest.mark.pairings(C, why="the reference's controller keeps no journal")
def test_a_result_of_the_time_without_a_controller_is_delivered(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc, pid = start(stack, "--journal")
    done = stack.root / "done"
    ar = rc.load_balanced_view().apply_async(finish_later, str(done))
    wait_until((stack.root / "done.begun").exists, "the task runs")
    stack.kill_controller()
    wait_until(done.exists, "the task has ended while nobody listened")
    time.sleep(0.1)
    stack.start_controller("--journal", "--restore", ping=PING)
    assert ar.get(timeout=T) == 43
    expect_engine(stack, pid)


def test_it_gives_up_after_a_while_and_says_why(make_stack: StackFactory, pairing: Pairing) -> None:
    stack = make_stack()
    stack.start_controller(ping=PING)
    stack.start_engines(1, "--reconnect-timeout=1").close()
    stack.kill_controller()
    assert stack.engines[0].wait(T) == 1
    assert "(--reconnect-timeout); giving it up" in stack.engines[0].text()


# --- a network that swallows everything -----------------------------------------------------------


@interactive
def slow_pid(seconds: float) -> int:
    """Sleep; return the pid."""
    import os
    import time

    time.sleep(seconds)
    return os.getpid()


@pytest.fixture
def lan() -> Iterator[Lan]:
    """A host whose network can be cut."""
    with Lan(1) as lan:
        yield lan


@pytest.mark.pairings(C, why="the reference's controller keeps dead connections")
@pytest.mark.parametrize("seconds", AWAY_S)
@pytest.mark.timeout(120 + max(AWAY_S))
def test_a_silent_partition(lan: Lan, make_stack: StackFactory, seconds: float) -> None:
    stack = make_stack()
    # Patient, so that what the engine has is not given up: its results must arrive.
    patient = f"--HeartMonitor.max_heartmonitor_misses={int((seconds + 60) * 1000 / PING)}"
    far = lan.hosts[0]
    where = [f"--ip={lan.near}", f"--location={lan.near}"]
    stack.start_controller(*where, patient, ping=PING)
    rc = stack.client()
    stack.start_engine(prefix=far.prefix)
    wait_until(lambda: rc.ids == [0], "the far engine", T)
    rc[0].push({"kept": 42}, block=True)
    pid, engine = rc[0].apply_sync(os.getpid), rc._engines[0].encode()
    running = rc[0].apply_async(slow_pid, 2)
    balanced = rc.load_balanced_view().apply_async(slow_pid, 0.5)
    time.sleep(0.3)
    far.loss(100)
    time.sleep(seconds)
    asked = rc[0].apply_async(os.getpid)
    broadcast = rc.broadcast_view([0]).apply_async(os.getpid)
    coalescing = rc.broadcast_view([0], is_coalescing=True).apply_async(os.getpid)
    usage = rc._send(rc._control_stream, "usage_request", content={}, ident=engine)
    time.sleep(0.2)
    far.heal()
    healed = time.monotonic()
    assert rc[0].apply_async(os.getpid).get(timeout=T) == pid
    print(f"back {time.monotonic() - healed:.1f} s after the network")
    assert [ar.get(timeout=T) for ar in (asked, running, balanced)] == [pid] * 3
    assert [ar.get(timeout=T) for ar in (broadcast, coalescing)] == [[pid]] * 2
    assert usage.result(timeout=T)["content"]["pid"] == pid
    assert rc[0].pull("kept", block=True) == 42
