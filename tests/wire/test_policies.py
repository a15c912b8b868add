"""What load-balanced tasks may ask for beyond ipyparallel, through metadata of ``ipyfleet``."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import ipyfleet
import pytest
from ipyfleet import interactive
from ipyfleet.error import RemoteError

from . import pairings
from .conftest import StackFactory
from .pairings import C
from .polling import wait_until
from .procs import freeze
from .stack import Stack

T = 20.0
pytestmark = pytest.mark.pairings(C, why="our own client, controller and engines")


@interactive
def nap(seconds: float = 0.0) -> tuple[float, int]:
    """Sleep; return the time of the beginning and the pid."""
    import os
    import time

    begin = time.time()
    time.sleep(seconds)
    return begin, os.getpid()


@interactive
def visible() -> str | None:
    """What an engine's environment says about GPUs."""
    import os

    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.fixture
def up(make_stack: StackFactory) -> Iterator[tuple[Stack, Any]]:
    """Make a stack without engines and a client of ours."""
    stack = make_stack()
    stack.start_controller("--hwm=2", "--poison-limit=2")
    rc = ipyfleet.Client(str(stack.connection_file("client")))
    yield stack, rc
    rc.close()


def start_engines(stack: Stack, rc: Any, *each: tuple[str, ...]) -> None:
    """Start engines one by one, so that their ids are in the order of ``each``."""
    for arguments in each:
        before = set(rc.ids)
        stack.start_engine(*arguments)
        wait_until(lambda known=before: set(rc.ids) - known, "the engine is there", 20)


def submit(view: Any, f: Any, *args: Any, **flags: Any) -> Any:
    """Call ``f`` with these flags."""
    with view.temp_flags(**flags):
        return view.apply_async(f, *args)


def ename(ar: Any) -> str:
    """Name of the error that a task ends with."""
    with pytest.raises(RemoteError) as caught:
        ar.get(T)
    return caught.value.ename


def test_dependencies_of_our_client(up: tuple[Stack, Any]) -> None:
    stack, rc = up
    start_engines(stack, rc, (), ())
    view = rc.load_balanced_view()
    first = submit(view, nap, 0.2)
    second = submit(view, nap, after=first)
    either = ipyfleet.Dependency([first, second], all=False)
    third = submit(view, nap, follow=either)
    bad = submit(view, interactive(lambda: 1 // 0))
    assert second.get(T)[0] >= first.get(T)[0] + 0.2
    assert third.get(T)[1] in {first.get(T)[1], second.get(T)[1]}
    assert ename(submit(view, nap, after=[first, bad])) == "ImpossibleDependency"
    assert ename(submit(view, nap, after="nobody")) == "InvalidDependency"
    after_failure = ipyfleet.Dependency(bad, success=False, failure=True)
    assert submit(view, nap, after=after_failure).get(T)


def test_urgent_tasks_overtake(up: tuple[Stack, Any]) -> None:
    stack, rc = up
    start_engines(stack, rc, ())
    view = rc.load_balanced_view()
    flood = [submit(view, nap, 0.05, priority=-1) for _ in range(30)]
    urgent = submit(view, nap, priority=10)
    assert urgent.get(T)[0] < flood[5].get(T)[0]


def test_clients_share(up: tuple[Stack, Any]) -> None:
    stack, rc = up
    start_engines(stack, rc, ())
    flood = [submit(rc.load_balanced_view(), nap, 0.05) for _ in range(30)]
    with ipyfleet.Client(str(stack.connection_file("client"))) as other:
        small = [submit(other.load_balanced_view(), nap) for _ in range(3)]
        latest = max(ar.get(T)[0] for ar in small)
    assert latest < flood[15].get(T)[0]


def test_resources_and_gpus(up: tuple[Stack, Any]) -> None:
    stack, rc = up
    start_engines(stack, rc, ("--gpus=0",), ("--gpus", "2,3", "--resources=mem=4.5"), ())
    view = rc.load_balanced_view()
    assert [rc[i].apply_sync(visible) for i in rc.ids] == ["0", "2,3", None]
    pids = [rc[i].apply_sync(os.getpid) for i in rc.ids]
    two = [submit(view, nap, 0.1, resources={"gpu": 2}) for _ in range(4)]
    assert {ar.get(T)[1] for ar in two} == {pids[1]}
    begins = sorted(ar.get(T)[0] for ar in two)
    assert all(b - a >= 0.09 for a, b in itertools.pairwise(begins))
    never = submit(view, nap, resources={"gpu": 8})
    wait_until(lambda: rc.explain(never)[never.msg_ids[0]]["state"] == "waiting", "it waits")
    assert "less than gpu=8 in total" in rc.explain(never)[never.msg_ids[0]]["reason"]
    assert submit(view, nap).get(T)
    start_engines(stack, rc, ("--resources=gpu=8",))
    assert never.get(T)


def test_run_timeout_interrupts_and_the_engine_lives(up: tuple[Stack, Any]) -> None:
    stack, rc = up
    start_engines(stack, rc, ())
    rc[0]["kept"] = 5
    view = rc.load_balanced_view()
    began = time.monotonic()
    slow = submit(view, nap, 60, run_timeout=0.4)
    assert ename(slow) == "TaskTimeout"
    assert time.monotonic() - began < 10
    assert rc[0]["kept"] == 5
    assert submit(view, nap, run_timeout=5).get(T)


@interactive
def deaf() -> None:
    """Ignore interrupts and never end."""
    import signal
    import time

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    while True:
        time.sleep(60)


def test_run_timeout_kills_what_does_not_listen(up: tuple[Stack, Any]) -> None:
    stack, rc = up
    start_engines(stack, rc, ())
    ar = submit(rc.load_balanced_view(), deaf, run_timeout=0.3)
    assert ename(ar) == "TaskTimeout"
    wait_until(lambda: not rc.ids, "the engine was killed")


@interactive
def die() -> None:
    """End the engine."""
    import os

    os._exit(1)


def test_poison(up: tuple[Stack, Any]) -> None:
    stack, rc = up
    start_engines(stack, rc, (), (), ())
    ar = submit(rc.load_balanced_view(), die, retries=2)
    with pytest.raises(RemoteError, match="2 engines died while they ran task") as caught:
        ar.get(T)
    assert caught.value.ename == "PoisonTask"
    assert len(rc.ids) == 1


def test_explain(up: tuple[Stack, Any]) -> None:
    stack, rc = up
    view = rc.load_balanced_view()

    def why(ar: Any) -> tuple[str, str]:
        found = rc.explain(ar)[ar.msg_ids[0]]
        return found["state"], found["reason"]

    first = submit(view, nap, 1.0)
    wait_until(lambda: why(first) == ("waiting", "no engine is registered"), "no engine")
    second = submit(view, nap, after=first)
    wait_until(lambda: why(second)[0] == "blocked", "it is blocked")
    assert first.msg_ids[0] in why(second)[1]
    start_engines(stack, rc, ())
    wait_until(lambda: why(first)[0] == "running", "it runs")
    assert second.get(T)
    assert why(first) == ("finished", "it ended well")
    assert rc.explain("nobody")["nobody"]["state"] == "unknown"


def test_a_frozen_engine_gives_its_queued_task_away(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--hwm=2", "--HeartMonitor.max_heartmonitor_misses=3", ping=100)
    with ipyfleet.Client(str(stack.connection_file("client"))) as rc:
        start_engines(stack, rc, ())
        pid = rc[0].apply_sync(os.getpid)
        view = rc.load_balanced_view()
        begun = submit(view, nap, 1.0)
        queued = submit(view, nap)
        wait_until(
            lambda: "older task" in rc.explain(queued)[queued.msg_ids[0]]["reason"], "it is queued"
        )
        time.sleep(0.2)  # the engine has begun with the first
        freeze(pid)
        try:
            start_engines(stack, rc, ())
            assert queued.get(T)[1] != pid
            assert ename(begun) == "EngineError"
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("binary", "arguments", "text"),
    [
        ("ipcontroller", ["--scheme=bogus"], "bogus"),
        ("ipcontroller", ["--poison-limit=many"], "poison-limit"),
        ("ipengine", ["--resources=gpu"], "'gpu' is not NAME=NUMBER"),
        ("ipengine", ["--resources=gpu=-1"], "'gpu=-1' is not NAME=NUMBER"),
        ("ipengine", ["--gpus=0,;"], "';' is no number or UUID of a GPU"),
    ],
)
def test_wrong_options(binary: str, arguments: list[str], text: str) -> None:
    done = subprocess.run(
        [pairings.our_binary(binary), *arguments], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2
    assert text in done.stderr
