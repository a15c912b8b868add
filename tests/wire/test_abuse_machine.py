"""The machine of the controller misbehaves: its clock jumps, its memory ends (5c, 40 and 41)."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import ipyparallel as ipp
import pytest

from .conftest import StackFactory
from .hostile import expect_silence, nap
from .pairings import A, C, command
from .polling import holds_for, plain, wait_until
from .raw import RawPeer
from .stack import Proc, Stack

pytestmark = pytest.mark.pairings(A, C, why="faults of our controller's machine")
T = 20
MB = 1 << 20
CLOCK_SIGNAL = signal.SIGRTMIN + 1  # clock_jump.c; the controller has no use for it


# --- 40: the clock ----------------------------------------------------------------------------


def movable_clock(stack: Stack, hours: int) -> dict[str, str]:
    """Environment of a process whose wall clock CLOCK_SIGNAL moves by so many hours, and back."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    library = stack.root / "clock_jump.so"
    source = Path(__file__).with_name("clock_jump.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "IPF_CLOCK_JUMP": str(hours * 3600)}


def log_hours_off(stack: Stack) -> float:
    """How far the clock of the controller's last log line is from ours, in hours."""
    stamp = plain(stack.controller.text()).strip().splitlines()[-1][:23]
    there = datetime.datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S.%f")
    return (there - datetime.datetime.now()).total_seconds() / 3600


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_loses_nothing(make_stack: StackFactory, hours: int) -> None:
    stack = make_stack()
    argv = [*command("ours", "controller"), "--ping=200"]
    controller = stack.spawn("controller-0", "ours", argv, **movable_clock(stack, hours))
    stack.wait_for_files(controller)
    rc = stack.start_engines(2)
    pids = rc[:].apply_sync(os.getpid)
    with RawPeer(stack.connection("client")) as peer:
        old = peer.message("bogus_request")
        peer.ask("task", old)
        for away in (True, False):
            running = rc.load_balanced_view().map_async(nap, [0.3] * 6)
            os.kill(stack.controller.pid, CLOCK_SIGNAL)
            holds_for(lambda: rc.ids == [0, 1], "both engines are there", 3)  # 15 heart beats
            assert len(running.get(timeout=T)) == 6
            assert rc[:].apply_async(os.getpid).get(timeout=T) == pids
            os.kill(stack.controller.pid, signal.SIGUSR1)  # writes a log line
            expected = hours if away else 0
            wait_until(lambda e=expected: abs(log_hours_off(stack) - e) < 0.1, "the jump", 5)
            peer.send("task", old)
            expect_silence(peer, "task")
            call = rc[0].apply_async(os.getpid)
            call.get(timeout=T)
            done = rc.db_query({"msg_id": call.msg_ids[0]}, keys=["received"])[0]["received"]
            off = (done - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 3600
            assert abs(off - expected) < 0.1, "records follow the clock, in UTC"
    assert "unregister_engine" not in stack.controller.text()


# --- 41: memory -------------------------------------------------------------------------------


def start_with_memory(stack: Stack, megabytes: int, *args: str) -> Proc:
    """A controller that may have so much memory of its own; mapped files do not count."""
    prlimit = shutil.which("prlimit")
    assert prlimit, "util-linux is needed"
    limit = f"--data={megabytes * MB}:{megabytes * MB}"
    argv = [prlimit, limit, *command("ours", "controller"), "--ping=300", *args]
    proc = stack.spawn("controller-0", "ours", argv)
    stack.wait_for_files(proc)
    return proc


@pytest.mark.pairings(C, why="one kind of engine is enough")
@pytest.mark.parametrize("option", ["--spill-above=50MB", "--backlog=100MB"])
def test_limits_come_before_the_memory_ends(make_stack: StackFactory, option: str) -> None:
    stack = make_stack()
    start_with_memory(stack, 350, option, "--nodb")
    rc = stack.start_engines(1)
    view = rc.load_balanced_view()
    first = view.apply_async(time.sleep, 2)
    large = [view.apply_async(len, os.urandom(4 * MB)) for _ in range(100)]  # 400 MB
    assert rc[0].apply_async(os.getpid).get(timeout=T)
    first.get(timeout=60)
    assert [one.get(timeout=60) for one in large] == [4 * MB] * 100
    stack.controller.require_alive()


@pytest.mark.pairings(C, why="one kind of engine is enough")
def test_without_memory_the_controller_ends_and_says_why(make_stack: StackFactory) -> None:
    stack = make_stack()
    proc = start_with_memory(stack, 250, "--spill-above=64GB", "--backlog=64GB", "--nodb")
    rc: ipp.Client = stack.start_engines(1)
    view = rc.load_balanced_view()
    view.apply_async(time.sleep, 30)
    calls = [view.apply_async(len, os.urandom(4 * MB)) for _ in range(80)]
    assert len(calls) == 80
    assert proc.wait(60) == 1
    text = plain(proc.text())
    assert "the controller ends" in text
    assert "memory" in text
    assert "terminate called" not in text
