"""Unmodified client: abort, clear, signals, shutdown and what a client keeps in memory."""

from __future__ import annotations

import os
import signal

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError, TaskAborted

from .conftest import SHARED_ENGINES, StackFactory
from .pairings import OUR_CONTROLLER, OUR_ENGINES, Pairing
from .polling import wait_until
from .stack import Stack

T = 20.0


@interactive
def nap(seconds: float) -> int:
    """Sleep on the engine in short steps; return its pid."""
    import os
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid()


@interactive
def announce_and_nap(path: str, seconds: float) -> None:
    """Create a file, then sleep: tells the test that the task runs."""
    import pathlib
    import time

    pathlib.Path(path).touch()
    time.sleep(seconds)


def assert_aborted(ar: ipp.AsyncResult) -> None:
    """Every part of ``ar`` was aborted."""
    results = ar.get(timeout=T, return_exceptions=True)
    for result in results if isinstance(results, list) else [results]:
        assert isinstance(result, TaskAborted)


def test_abort_of_queued_direct_calls(rc: ipp.Client) -> None:
    view = rc[0]
    running = view.apply_async(nap, 0.8)
    doomed = [view.apply_async(interactive(lambda: globals().update(ran=1))) for _ in range(3)]
    spared = view.apply_async(nap, 0)
    doomed[0].abort()
    view.abort(doomed[1:], block=True)
    for ar in doomed:
        assert_aborted(ar)
    assert running.get(timeout=T) == spared.get(timeout=T)
    assert not view.apply_sync(interactive(lambda: "ran" in globals()))


def test_abort_of_everything(rc: ipp.Client) -> None:
    running = rc[:].apply_async(nap, 0.6)
    queued = [rc[:].apply_async(nap, 0) for _ in range(2)]
    rc.abort(block=True)
    for ar in queued:
        assert_aborted(ar)
    assert len(running.get(timeout=T)) == SHARED_ENGINES
    assert len(rc[:].apply_async(os.getpid).get(timeout=T)) == SHARED_ENGINES


def test_abort_of_balanced_tasks(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    running = [view.apply_async(nap, 0.6) for _ in range(SHARED_ENGINES)]
    queued = [view.apply_async(nap, 0) for _ in range(4)]
    view.abort(queued, block=True)
    for ar in queued:
        assert_aborted(ar)
    for ar in running:
        ar.get(timeout=T)
    assert view.apply_async(nap, 0).get(timeout=T)


def test_clear_empties_the_namespaces(rc: ipp.Client) -> None:
    rc[:].push({"a": 1}, block=True)
    rc.clear(targets=[0], block=True)
    known = rc[:].apply_sync(interactive(lambda: "a" in globals()))
    assert known == [False] + [True] * (SHARED_ENGINES - 1)
    rc.clear(block=True)
    assert not any(rc[:].apply_sync(interactive(lambda: "a" in globals())))
    assert rc[0].execute("1 + 1", silent=False).get(timeout=T).execution_count >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, "SIGINT"], ids=["number", "name"])
def test_sigint_interrupts_a_busy_engine_and_only_that(
    rc: ipp.Client, stack: Stack, number: int | str
) -> None:
    pids = rc[:].apply_sync(os.getpid)
    running = stack.root / f"running-{number}"
    busy = rc[0].apply_async(announce_and_nap, str(running), 60)
    other = rc[1].apply_async(nap, 0.5)
    wait_until(running.exists, "the task runs")
    running.unlink()
    rc.send_signal(number, targets=[0], block=True)
    with pytest.raises(RemoteError) as caught:
        busy.get(timeout=10)
    assert caught.value.ename == "KeyboardInterrupt"
    assert other.get(timeout=T) == pids[1]
    assert rc[:].apply_sync(os.getpid) == pids, "an engine was replaced"


def test_sigint_to_an_idle_engine_does_no_harm(rc: ipp.Client) -> None:
    pids = rc[:].apply_sync(os.getpid)
    rc.send_signal(signal.SIGINT, block=True)
    assert rc[:].apply_async(os.getpid).get(timeout=T) == pids
    assert rc[0].execute("5", silent=False).get(timeout=T).execution_count


def test_bad_signal_name_is_an_error(rc: ipp.Client) -> None:
    with pytest.raises(RemoteError):
        rc.send_signal("SIGNONSENSE", targets=[0], block=True)


def test_hub_answers_while_all_engines_are_busy(rc: ipp.Client) -> None:
    ar = rc[:].apply_async(nap, 1.0)
    assert set(rc.queue_status()) >= set(rc.ids)
    rc.hub_history()
    assert not ar.ready(), "hub queries waited for the engines"
    ar.get(timeout=T)


def test_client_memory_drains_to_empty(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    results = [view.apply_async(interactive(lambda i: print(i)), i) for i in range(50)]
    results += [rc[:].apply_async(os.getpid), rc[0].execute("print(1)")]
    failing = [rc[1].apply_async(interactive(lambda: 1 / 0)) for _ in range(5)]
    for ar in results:
        ar.get(timeout=T)
    for ar in failing:
        ar.wait(T)

    def leftovers() -> dict[str, int]:
        kept = {
            "outstanding": rc.outstanding,
            "futures": rc._futures,
            "outputs": rc._output_futures,
            "results": rc.results,
            "for each engine": [i for ids in rc._outstanding_dict.values() for i in ids],
        }
        return {name: len(things) for name, things in kept.items() if things}

    try:
        wait_until(lambda: not leftovers(), "all dictionaries of the client are empty", 5)
    finally:
        assert leftovers() == {}


# --- shutdown: stacks of their own --------------------------------------------------------------


def clean_exit(pairing: Pairing) -> int:
    """Status of an engine after shutdown; the reference's ends with a RuntimeError."""
    return 0 if pairing.our_engines else 1


def test_shutdown_of_one_engine(make_stack: StackFactory, pairing: Pairing) -> None:
    stack = make_stack()
    rc = stack.start(2)
    rc.shutdown(targets=[0], block=True)
    wait_until(lambda: rc.ids == [1], "engine 0 left client.ids")
    wait_until(
        lambda: sum(p.popen.poll() is not None for p in stack.engines) == 1,
        "one engine process ended",
    )
    ended = next(p for p in stack.engines if p.popen.poll() is not None)
    assert ended.popen.returncode == clean_exit(pairing)
    assert rc[1].apply_sync(interactive(lambda: 5)) == 5
    assert rc.load_balanced_view().apply_async(nap, 0).get(timeout=T)
    assert stack.client().ids == [1]
    stack.add_engines(rc, 1)
    assert rc.ids == [1, 2], "ids of engines that are gone are not given again"


def test_shutdown_of_hub_and_engines(make_stack: StackFactory, pairing: Pairing) -> None:
    stack = make_stack()
    rc = stack.start(2)
    rc.shutdown(hub=True, block=True)
    assert stack.controller.wait(10) == 0
    for proc in stack.engines:
        assert proc.wait(10) == clean_exit(pairing)
    wait_until(lambda: not stack.processes(), "no process of the stack left", 10)
    left = [role for role in ("client", "engine") if stack.connection_file(role).exists()]
    assert left == [], "connection files stay after a clean end"


@pytest.mark.pairings(*OUR_ENGINES, why="the reference's engine first finishes its task")
def test_shutdown_while_a_task_runs(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1)
    running = stack.root / "running"
    ar = rc[0].apply_async(announce_and_nap, str(running), 60)
    wait_until(running.exists, "the task runs")
    rc.shutdown(targets=[0], block=True)
    assert isinstance(stack.engines[0].wait(10), int)
    with pytest.raises(RemoteError, match="EngineError"):
        ar.get(timeout=T)


@pytest.mark.pairings(*OUR_CONTROLLER, why="the reference's children print tracebacks")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_controller_ends_with_0_on_a_signal(make_stack: StackFactory, number: int) -> None:
    stack = make_stack()
    controller = stack.start_controller()
    os.kill(controller.pid, number)
    assert controller.wait(5) == 0
    assert "Traceback" not in controller.text()
    assert not stack.connection_file("client").exists()


@pytest.mark.pairings(*OUR_ENGINES, why="the reference ends with a traceback (protocol.md 8.4)")
def test_engine_ends_with_0_on_sigterm(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2)
    os.kill(stack.engines[0].pid, signal.SIGTERM)
    assert stack.engines[0].wait(5) == 0
    assert "Traceback" not in stack.engines[0].text()
    wait_until(lambda: len(rc.ids) == 1, "the engine left client.ids")
