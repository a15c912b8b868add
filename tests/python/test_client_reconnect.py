"""A client whose controller is killed and started again, or stands still for a while."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, PEER_PYTHON, START_SECONDS, Cluster, ctrl_c, nap, wait_until

T = 30
SLOW = 100.0

pytestmark = pytest.mark.skipif(bool(PEER_PYTHON), reason="the controller has to be ours")


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[tuple[Cluster, ipp.Client, int]]:
    """A cluster whose controller may be killed, a client of it, and the pid of the controller."""
    made = Cluster(tmp_path / "lasting")
    try:
        controller = made.start_controller("--reuse", "--journal")
        for _ in range(ENGINES):
            made.start_engine()
        with ipp.Client(made.file, timeout=20) as client:
            client.wait_for_engines(ENGINES, timeout=START_SECONDS)
            yield made, client, controller.pid
    finally:
        made.stop()


@pytest.mark.parametrize("restart", ["--restore", "--reuse"])
def test_after_a_restart_everything_goes_on(
    lasting: tuple[Cluster, ipp.Client, int], restart: str
) -> None:
    """With --restore all results come; without, one that cannot come fails and says why."""
    cluster, rc, controller = lasting
    pids = rc[:].apply_sync(os.getpid)
    view = rc.load_balanced_view()
    done = view.apply_async(pow, 2, 3)
    assert done.get(T) == 8
    running = [each.apply_async(nap, 0.5, "was running") for each in (rc[0], rc[1])]
    waiting = [view.apply_async(pow, 2, n) for n in range(20)]
    os.killpg(controller, signal.SIGKILL)
    asked_meanwhile = view.apply_async(pow, 3, 3)
    cluster.start_controller(restart)
    for result, value in zip(running + waiting, ["was running"] * 2 + [2**n for n in range(20)]):  # noqa: B905
        found = result.get(T, return_exceptions=True)
        if restart == "--restore" or not isinstance(found, ipp.RemoteError):
            assert found == value
        else:
            assert found.ename == "EngineError"
            assert "is not registered" in str(found)
    assert asked_meanwhile.get(T) == 27

    def back() -> bool:
        # The list of engines may still be the one from before the restart.
        try:
            return sorted(rc.ids) == list(range(ENGINES)) and bool(rc[:].apply_sync(os.getpid))
        except ipp.CompositeError:
            return False

    wait_until(back, "the engines are back", T)
    assert sorted(rc[:].apply_sync(os.getpid)) == sorted(pids)
    assert done.get() == 8
    assert view.map_sync(abs, range(-50, 0), chunksize="auto") == list(range(50, 0, -1))
    assert not rc.outstanding


def test_a_controller_that_stands_still(lasting: tuple[Cluster, ipp.Client, int]) -> None:
    _, rc, controller = lasting
    os.kill(controller, signal.SIGSTOP)
    try:
        result = rc[:].apply_async(nap, 0.1, 5)
        start = time.monotonic()
        with pytest.raises(ipp.TimeoutError):
            result.get(0.3)
        assert time.monotonic() - start < 5
    finally:
        os.kill(controller, signal.SIGCONT)
    assert result.get(T) == [5] * ENGINES


CALLS: dict[str, Callable[[Cluster, ipp.Client], Any]] = {
    "connect": lambda cluster, rc: ipp.Client(cluster.file, timeout=SLOW),
    "queue_status": lambda cluster, rc: rc.queue_status(),
    "db_query": lambda cluster, rc: rc.db_query({}),
    "get_result": lambda cluster, rc: rc.get_result("somebody-elses").get(),
    "purge": lambda cluster, rc: rc.purge_everything(),
    "push": lambda cluster, rc: rc[:].push({"x": 5}, block=True),
    "execute": lambda cluster, rc: rc[0].execute("1", block=True),
    "abort": lambda cluster, rc: rc.abort(rc[1].apply_async(nap, 0), block=True),
    "cancel": lambda cluster, rc: rc[0].apply_async(nap, 0.1).cancel(),
}


def test_ctrl_c_while_the_controller_stands_still(
    lasting: tuple[Cluster, ipp.Client, int],
) -> None:
    cluster, rc, controller = lasting
    os.kill(controller, signal.SIGSTOP)
    try:
        for name, call in CALLS.items():
            timer = threading.Timer(0.15, ctrl_c)
            timer.start()
            start = time.monotonic()
            try:
                call(cluster, rc)
            except KeyboardInterrupt:
                pass
            else:
                pytest.fail(f"{name} did not wait")
            assert time.monotonic() - start < 5, name
            timer.join()
    finally:
        os.kill(controller, signal.SIGCONT)
    assert rc[:].apply_async(pow, 2, 3).get(T) == [8] * ENGINES
    assert rc.queue_status()
