"""kill -9 of the controller under load, then ``ipcontroller --restore``: nothing lost or twice."""

from __future__ import annotations

import collections
import os
import random
import signal
import threading
import time
from pathlib import Path

import ipyfleet
import ipyparallel as ipp
import pytest

from .conftest import StackFactory
from .pairings import A, C
from .polling import wait_until
from .procs import freeze
from .stack import Stack

FULL = os.environ.get("IPF_FULL", "") not in {"", "0"}
KILLS, TASKS = (100, 100_000) if FULL else (6, 4_000)
OUTSTANDING = 200

pytestmark = pytest.mark.pairings(A, C, why="the reference's controller keeps no journal")


@ipp.interactive
def count_run(number: int, prefix: str) -> int:
    """Leave a line for each time that this runs."""
    import os

    with open(f"{prefix}.{os.getpid()}", "a") as file:
        file.write(f"{number}\n")
    return 2 * number + 1


@ipp.interactive
def wait_for_flag(path: str) -> str:
    """Return when the file is there."""
    import os
    import time

    open(path + ".started", "w").close()
    deadline = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    return "done"


@ipp.interactive
def count_run_and_wait(number: int, prefix: str, flag: str) -> int:
    """Both in one, for an engine that cannot import this module."""
    import os
    import time

    with open(f"{prefix}.{os.getpid()}", "a") as file:
        file.write(f"{number}\n")
    open(flag + ".started", "w").close()
    deadline = time.monotonic() + 60
    while not os.path.exists(flag) and time.monotonic() < deadline:
        time.sleep(0.02)
    return 2 * number + 1


@ipp.interactive
def interactive_wait(path: str) -> str:
    """Return when the file is there; each engine says that it has begun."""
    import os
    import time

    open(f"{path}.started.{os.getpid()}", "w").close()
    deadline = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    return "done"


def restart(stack: Stack, *args: str, down: float = 0.1) -> None:
    """Kill the controller as hard as possible; start the next one."""
    stack.controller.popen.kill()
    stack.controller.popen.wait()
    time.sleep(down)
    stack.start_controller("--restore", *args)


class Killer(threading.Thread):
    """Kills and restores the controller at random moments.

    Lives until ``ended`` is set: the processes that a thread started get SIGTERM when it ends.
    """

    def __init__(self, stack: Stack, args: tuple[str, ...], kills: int, seed: int) -> None:
        super().__init__()
        self.stack, self.args, self.left, self.random = stack, args, kills, random.Random(seed)
        self.ended = threading.Event()
        self.kills = 0

    def run(self) -> None:
        """Until ``ended`` is set."""
        while self.left and not self.ended.wait(self.random.uniform(0.05, 0.8)):
            restart(self.stack, *self.args, down=self.random.uniform(0, 0.2))
            self.left -= 1
            self.kills += 1
        self.ended.wait()


@pytest.mark.pairings(C, why="a real engine cannot answer again what was lost on the way")
@pytest.mark.parametrize("flags", [("--journal",), ("--sqlitedb",)], ids=["dict", "sqlite"])
def test_no_result_is_lost_and_none_comes_twice(
    make_stack: StackFactory, flags: tuple[str, ...]
) -> None:
    stack = make_stack()
    before = dict(enumerate(stack.start(4, *flags)[:].apply_sync(os.getpid)))
    rc = ipyfleet.Client(str(stack.connection_file("client")))
    view = rc.load_balanced_view()
    prefix = str(stack.root / "runs")
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    killer = Killer(stack, flags, KILLS, seed)
    killer.start()
    try:
        waiting: collections.deque[tuple[int, ipyfleet.AsyncResult]] = collections.deque()
        started = 0
        finished = 0
        while finished < TASKS or killer.left:
            while len(waiting) < OUTSTANDING and (started < TASKS or killer.left):
                waiting.append((started, view.apply_async(count_run, started, prefix)))
                started += 1
            number, ar = waiting.popleft()
            assert ar.get(timeout=60) == 2 * number + 1
            finished += 1
        for number, ar in waiting:
            assert ar.get(timeout=60) == 2 * number + 1
        runs: collections.Counter[int] = collections.Counter()
        for path in Path(stack.root).glob("runs.*"):
            runs.update(map(int, path.read_text().split()))
        assert killer.kills == KILLS
        assert sorted(runs) == list(range(started)), "each task ran"
        assert max(runs.values()) == 1, "no task ran twice"
        assert dict(enumerate(rc[:].apply_async(os.getpid).get(timeout=10))) == before
    finally:
        killer.ended.set()
        killer.join()
        rc.close()


def test_an_unmodified_client_gets_what_it_waits_for(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, "--journal")
    rc[:].push({"kept": 42}, block=True)
    view = rc.load_balanced_view()
    flag = stack.root / "flag"
    running = [view.apply_async(wait_for_flag, f"{flag}{i}") for i in range(2)]
    for i in range(2):
        wait_until(Path(f"{flag}{i}.started").exists, "both engines are busy")
    queued = [view.apply_async(os.getpid) for _ in range(20)]
    time.sleep(0.2)  # the client's own thread sends them
    restart(stack, "--journal")
    for i in range(2):
        Path(f"{flag}{i}").touch()
    assert [ar.get(timeout=20) for ar in running] == ["done", "done"]
    assert len({ar.get(timeout=20) for ar in queued}) >= 1
    assert rc.ids == [0, 1]
    assert rc[:].apply_async(ipp.interactive(lambda: kept)).get(timeout=10) == [42, 42]  # noqa: F821


def test_results_of_the_time_before_are_in_the_database(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, "--sqlitedb")
    done = rc.load_balanced_view().apply(os.getpid)
    pid = done.get(timeout=10)
    restart(stack, "--sqlitedb")
    other = stack.client()
    assert other.get_result(done.msg_ids[0]).get(timeout=10) == pid
    assert other.hub_history()[-1] == done.msg_ids[0]


def test_a_task_that_follows_an_old_one_runs_after_the_restart(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, "--journal")
    view = rc.load_balanced_view()
    first = view.apply(os.getpid)
    first.get(timeout=10)
    restart(stack, "--journal")
    with view.temp_flags(after=[first]):
        later = view.apply(os.getpid)
    assert later.get(timeout=20) > 0


def test_restore_without_anything_to_restore_just_starts(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, "--restore")
    assert rc.load_balanced_view().apply_async(os.getpid).get(timeout=10) > 0
    assert "no engines to restore" in stack.controller.text()


def test_an_engine_that_did_not_survive_is_lost_and_its_task_fails(
    make_stack: StackFactory,
) -> None:
    stack = make_stack()
    rc = stack.start(2, "--journal", "--IPController.registration_timeout=2")
    flag = stack.root / "never"
    ar = rc.load_balanced_view().apply_async(wait_for_flag, str(flag))
    wait_until(Path(f"{flag}.started").exists, "the task runs")
    stack.controller.popen.kill()
    stack.controller.popen.wait()
    for proc in stack.engines:
        proc.popen.kill()
    for info in stack.processes():
        if info.pid != stack.controller.pid:
            os.kill(info.pid, 9)
    stack.start_controller("--restore", "--journal", "--IPController.registration_timeout=2")
    with pytest.raises(ipp.RemoteError) as caught:
        ar.get(timeout=20)
    assert caught.value.ename == "EngineError"
    wait_until(lambda: rc.ids == [], "the engines are unregistered")


@pytest.mark.pairings(C, why="a real engine says nothing until its heart beats again")
def test_an_engine_that_comes_back_late_keeps_its_task(make_stack: StackFactory) -> None:
    stack = make_stack()
    patient = ("--journal", "--IPController.registration_timeout=40")
    rc = stack.start(2, *patient)
    pids = dict(zip(rc.ids, rc[:].apply_sync(os.getpid), strict=True))
    view = rc.load_balanced_view()
    prefix = str(stack.root / "runs")
    flag = str(stack.root / "flag")
    with view.temp_flags(targets=0):
        ar = view.apply_async(count_run_and_wait, 1, prefix, flag)
    wait_until(Path(f"{flag}.started").exists, "it runs")
    freeze(pids[0])
    try:
        restart(stack, *patient)
        time.sleep(6)  # longer than the scheduler waits for an engine that has just registered
    finally:
        os.kill(pids[0], signal.SIGCONT)
    Path(flag).touch()
    assert ar.get(timeout=20) == 3
    runs = [line for path in stack.root.glob("runs.*") for line in path.read_text().split()]
    assert runs == ["1"], "it ran once"


def test_a_task_that_waited_again_is_nobodys_after_the_restart(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, "--journal", ping=100)
    pids = dict(zip(rc.ids, rc[:].apply_sync(os.getpid), strict=True))
    flag = stack.root / "flag"
    busy = rc.load_balanced_view(targets=1).apply_async(wait_for_flag, str(flag))
    wait_until(Path(f"{flag}.started").exists, "the second engine is busy")
    freeze(pids[0])
    try:
        moved = rc.load_balanced_view().apply_async(os.getpid)  # to the first one, which is idle
        wait_until(lambda: rc.ids == [1], "the frozen engine is given up", 20)
        restart(stack, "--journal")
        flag.touch()
        assert busy.get(timeout=20) == "done"
        assert moved.get(timeout=20) == pids[1]
    finally:
        os.kill(pids[0], signal.SIGCONT)


def test_direct_calls_that_were_open_are_delivered(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, "--journal")
    flag = stack.root / "flag"
    ar = rc[:].apply_async(interactive_wait, str(flag))
    wait_until(lambda: len(list(stack.root.glob("flag.started.*"))) == 2, "both engines are busy")
    restart(stack, "--journal")
    flag.touch()
    assert ar.get(timeout=20) == ["done", "done"]


def test_a_broadcast_that_was_open_is_delivered(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, "--journal")
    flag = stack.root / "flag"
    ar = rc.broadcast_view().apply_async(interactive_wait, str(flag))
    wait_until(lambda: len(list(stack.root.glob("flag.started.*"))) == 2, "both engines are busy")
    restart(stack, "--journal")
    flag.touch()
    assert ar.get(timeout=20) == ["done", "done"]


def test_a_coalescing_broadcast_that_was_open_ends_with_a_named_error(
    make_stack: StackFactory,
) -> None:
    stack = make_stack()
    rc = stack.start(2, "--journal")
    flag = stack.root / "flag"
    ar = rc.broadcast_view(is_coalescing=True).apply_async(interactive_wait, str(flag))
    wait_until(lambda: len(list(stack.root.glob("flag.started.*"))) == 2, "both engines are busy")
    restart(stack, "--journal")
    flag.touch()
    with pytest.raises(ipp.RemoteError) as caught:
        ar.get(timeout=20)
    assert caught.value.ename == "EngineError"
    assert "restarted" in caught.value.evalue


def test_a_damaged_journal_is_named(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--journal")
    stack.controller.popen.kill()
    stack.controller.popen.wait()
    journal = stack.profile_dir / "log" / "tasks.journal"
    journal.write_text("something else")
    proc = stack.start_controller("--restore", wait=False)
    assert proc.wait(10) == 1
    assert str(journal) in proc.text()
    assert "Traceback" not in proc.text()
