"""Engines that are started again in their place, cancelled tasks, memory limits."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError

from .conftest import StackFactory
from .pairings import B, C
from .polling import wait_until
from .stack import Stack
from .test_policies import submit

T = 20.0
PING = 300

pytestmark = pytest.mark.pairings(B, C, why="the reference does not restart engines")


@interactive
def crash() -> None:
    """Segmentation fault."""
    import ctypes

    ctypes.string_at(0)


@interactive
def started_nap(path: str, seconds: float) -> str:
    """Show that it runs, then sleep."""
    import pathlib
    import time

    pathlib.Path(path).touch()
    time.sleep(seconds)
    return "slept"


@interactive
def stubborn(path: str) -> None:
    """Hold the GIL in C; an interrupt changes nothing."""
    import ctypes
    import pathlib
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    pathlib.Path(path).touch()
    ctypes.PyDLL(None).sleep(60)


def start_one(stack: Stack, *args: str) -> ipp.Client:
    """A controller and one engine with options of its own."""
    stack.start_controller(ping=PING)
    return stack.start_engines(1, *args)


def wait_for_other(rc: ipp.Client, old_pid: int, timeout: float = T) -> int:
    """Wait until engine 0 is there again as another process; its pid."""

    def pid() -> int | None:
        if rc.ids != [0]:
            return None
        try:
            found = rc[0].apply_async(os.getpid).get(timeout=5)
        except (RemoteError, ipp.error.TimeoutError, ipp.error.NoEnginesRegistered, IndexError):
            return None
        return found if found != old_pid else None

    return wait_until(pid, "the engine is back under its id", timeout)


def ask(rc: ipp.Client, msg_type: str, content: dict[str, Any]) -> dict[str, Any]:
    """Send engine 0 a control message; the content of its reply."""
    engine = rc._engines[0].encode()
    future = rc._send(rc._control_stream, msg_type, content=content, ident=engine)
    return future.result(timeout=T)


def test_a_crashed_engine_is_back_with_its_id_and_startup_code(make_stack: StackFactory) -> None:
    stack = make_stack()
    script = stack.root / "start.py"
    script.write_text("from_script = 'here'\n")
    rc = start_one(stack, "--restart=on-failure", "-c", "answer = 42", "-s", str(script))
    old = rc[0].apply_sync(os.getpid)
    rc[0].push({"lost": 1}, block=True)
    crashed = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        rc[0].apply_async(crash).get(timeout=T)
    assert caught.value.ename == "EngineError"
    print(f"EngineError after {1000 * (time.monotonic() - crashed):.0f} ms")
    wait_for_other(rc, old)
    print(f"back after {time.monotonic() - crashed:.2f} s")
    assert rc[0].pull(["answer", "from_script"], block=True) == [42, "here"]
    with pytest.raises(RemoteError, match="NameError"):
        rc[0].pull("lost", block=True)
    assert "was killed by signal 11 (SIGSEGV); restarting it (1 of at most 5" in (
        stack.engines[0].text()
    )


def test_too_many_crashes_end_it(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = start_one(stack, "--restart=on-failure", "--restart-limit=1")
    old = rc[0].apply_sync(os.getpid)
    os.kill(old, signal.SIGKILL)
    new = wait_for_other(rc, old)
    os.kill(new, signal.SIGKILL)
    assert stack.engines[0].wait(T) == -signal.SIGKILL
    wait_until(lambda: rc.ids == [], "it is gone")
    assert "giving it up after 1 restarts in 60 s" in stack.engines[0].text()


def test_never_means_never(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = start_one(stack)
    os.kill(rc[0].apply_sync(os.getpid), signal.SIGKILL)
    assert stack.engines[0].wait(T) == -signal.SIGKILL


def test_stopping_an_engine_is_no_crash(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = start_one(stack, "--restart=on-failure")
    os.kill(rc[0].apply_sync(os.getpid), signal.SIGTERM)
    assert stack.engines[0].wait(T) == 0
    rc = stack.add_engines(rc, 1, "--restart=on-failure")
    rc.shutdown(block=True)
    assert stack.engines[1].wait(T) == 0


@pytest.mark.parametrize("mode", ["never", "on-failure"])
def test_shutdown_with_restart(make_stack: StackFactory, mode: str) -> None:
    stack = make_stack()
    rc = start_one(stack, f"--restart={mode}", "-c", "answer = 42")
    old = rc[0].apply_sync(os.getpid)
    assert ask(rc, "shutdown_request", {"restart": True})["content"]["restart"] is True
    wait_for_other(rc, old)
    assert rc[0].pull("answer", block=True) == 42
    assert "restarting it, as a client asked" in stack.engines[0].text()


# --- cancel ---------------------------------------------------------------------------------------


def test_cancel_interrupts_and_keeps_the_namespace(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = start_one(stack)
    rc[0].push({"kept": 42}, block=True)
    running = stack.root / "running"
    ar = rc[0].apply_async(started_nap, str(running), 100)
    queued = rc[0].apply_async(os.getpid)
    other = rc[0].apply_async(os.getpid)
    wait_until(running.exists, "the task runs")
    reply = ask(rc, "cancel_request", {"msg_id": queued.msg_ids[0]})
    # Another connection than the request's: "unknown" means that it is aborted when it comes.
    assert reply["content"]["outcome"] in {"dequeued", "unknown"}
    since = time.monotonic()
    reply = ask(rc, "cancel_request", {"msg_id": ar.msg_ids[0]})
    assert reply["content"] == {"status": "ok", "outcome": "interrupted"}
    with pytest.raises(RemoteError, match="KeyboardInterrupt"):
        ar.get(timeout=T)
    print(f"cancelled in {1000 * (time.monotonic() - since):.0f} ms")
    with pytest.raises(ipp.error.TaskAborted):
        queued.get(timeout=T)
    assert other.get(timeout=T) > 0
    assert rc[0].pull("kept", block=True) == 42
    for wrong in ({}, {"msg_id": 1}, {"msg_id": "x", "grace": "long"}):
        assert ask(rc, "cancel_request", wrong)["content"]["status"] == "error"
    assert ask(rc, "cancel_request", {"msg_id": "x"})["content"]["outcome"] == "unknown"


def test_cancel_of_a_c_loop_restarts_the_engine(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = start_one(stack, "-c", "answer = 42")
    old = rc[0].apply_sync(os.getpid)
    running = stack.root / "running"
    ar = rc[0].apply_async(stubborn, str(running))
    wait_until(running.exists, "the task runs")
    reply = ask(rc, "cancel_request", {"msg_id": ar.msg_ids[0], "grace": 0.3})
    assert reply["content"]["outcome"] == "killed"
    with pytest.raises(RemoteError, match="was cancelled; it did not end") as caught:
        ar.get(timeout=T)
    assert caught.value.ename == "EngineError"
    wait_for_other(rc, old)
    assert rc[0].pull("answer", block=True) == 42


# --- memory ---------------------------------------------------------------------------------------


@interactive
def eat_memory(child: bool) -> int:
    """Allocate without end, here or in a child process."""
    import os
    import time

    if child and os.fork():
        os.wait()
        return 0
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * (8 << 20)))
        time.sleep(0.01)


@pytest.mark.parametrize("child", [False, True], ids=["engine", "child"])
def test_memory_limit_names_itself_and_the_engine_is_back(
    make_stack: StackFactory, child: bool
) -> None:
    stack = make_stack()
    rc = start_one(stack, "--memory-limit=300M", "--restart=on-failure")
    old = rc[0].apply_sync(os.getpid)
    ar = rc[0].apply_async(eat_memory, child)
    with pytest.raises(RemoteError) as caught:
        ar.get(timeout=T)
    assert caught.value.ename == "EngineError"
    assert re.search(r"used \d+ MiB, more than its memory limit of 300 MiB", caught.value.evalue)
    wait_for_other(rc, old)
    assert not any(Path(f"/proc/{old}").glob("task/*/children"))


@pytest.mark.pairings(C, why="run_timeout is ours")
def test_run_timeout_kills_and_the_engine_is_back(make_stack: StackFactory) -> None:
    import ipyfleet

    stack = make_stack()
    rc = start_one(stack, "--restart=on-failure")
    old = rc[0].apply_sync(os.getpid)
    own = ipyfleet.Client(str(stack.connection_file("client")))
    view = own.load_balanced_view()
    ar = submit(view, stubborn, str(stack.root / "running"), run_timeout=0.5)
    with pytest.raises(ipyfleet.RemoteError, match="run_timeout"):
        ar.get(timeout=T)
    own.close()
    wait_for_other(rc, old)
