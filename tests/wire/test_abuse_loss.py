"""Engines on a host whose network loses packets or is cut off (users.md 5c, 36 and 37)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import ipyparallel as ipp
import pytest
from ipyparallel import interactive

from .conftest import StackFactory
from .hosts import Host, Lan
from .pairings import A, C
from .polling import holds_for, wait_until
from .stack import Stack

pytestmark = pytest.mark.pairings(A, C, why="our controller and engines behind a bad network")
FULL = os.environ.get("IPF_FULL", "") not in {"", "0"}
T = 60


@pytest.fixture
def lan() -> Iterator[Lan]:
    """This host and one for the engines."""
    with Lan(1) as lan:
        yield lan


def start(stack: Stack, lan: Lan, engines: int, ping: int) -> ipp.Client:
    """The controller here, its engines there."""
    stack.start_controller(f"--ip={lan.near}", f"--location={lan.near}", ping=ping)
    rc = stack.client(timeout=20)
    for _ in range(engines):
        stack.start_engine(prefix=lan.hosts[0].prefix)
    wait_until(lambda: len(rc.ids) == engines, "engines on the far host", T)
    return rc


def test_loss_makes_it_slower_and_nothing_else(make_stack: StackFactory, lan: Lan) -> None:
    stack = make_stack()
    rc = start(stack, lan, 2, ping=1000)
    pids = rc[:].apply_sync(os.getpid)
    lan.hosts[0].loss(5)
    balanced = rc.load_balanced_view().map_async(len, [bytes(20_000)] * 100, chunksize=1)
    direct = [rc[:].apply_async(os.getpid) for _ in range(20)]
    assert balanced.get(timeout=T) == [20_000] * 100
    assert [call.get(timeout=T) for call in direct] == [pids] * 20
    assert rc.ids == [0, 1]
    assert "unregister_engine" not in stack.controller.text()


# What happens to the link, and whether the controller must notice.
FAULTS: dict[str, tuple[Callable[[Host], None], bool]] = {
    "silence": (lambda far: far.loss(100), True),
    "engines hear nothing": (lambda far: far.loss(100, "in"), True),
    "engines are not heard": (lambda far: far.loss(100, "out"), True),
    "resets": (lambda far: far.fault("meta l4proto tcp reject with tcp reset"), True),
    "large packets vanish": (lambda far: far.fault("meta length > 600 drop"), False),
    "another address": (lambda far: far.move(), False),
}
QUICK = ("engines are not heard", "large packets vanish", "another address")


@interactive
def log_and_nap(path: str) -> int:
    """Write a line into ``path``, then sleep while the network fails."""
    import os
    import time

    with open(path, "a") as file:
        file.write(f"run {os.getpid()}\n")
    time.sleep(1.5)
    return os.getpid()


def result_or_name(ar: ipp.AsyncResult) -> int | str:
    """The result of a task, or the name of its error."""
    try:
        return ar.get(timeout=T)
    except ipp.RemoteError as error:
        return error.ename


@pytest.mark.pairings(C, why="ipyparallel's engines do not come back (ip#6444)")
@pytest.mark.parametrize(
    "fault",
    FAULTS if FULL else ["engines are not heard", "large packets vanish", "another address"],
)
def test_engines_behind_a_failing_network_keep_numbers_and_names(
    make_stack: StackFactory, lan: Lan, fault: str
) -> None:
    ping, length = (300, 12) if FULL else (100, 3)
    apply, noticed = FAULTS[fault]
    stack = make_stack()
    rc = start(stack, lan, 2, ping=ping)
    pids = rc[:].apply_sync(os.getpid)
    rc[:].push({"kept": 42}, block=True)
    lines = [stack.root / f"lines-{i}" for i in range(2)]
    tasks = [rc[i].apply_async(log_and_nap, str(path)) for i, path in enumerate(lines)]
    tasks.append(rc.load_balanced_view().apply_async(log_and_nap, str(stack.root / "lines-2")))
    wait_until(lambda: all(path.exists() for path in lines), "both are busy")
    far = lan.hosts[0]
    apply(far)
    begin = time.monotonic()
    if noticed:
        wait_until(lambda: rc.ids == [], "the controller gives them up", T)
    while time.monotonic() - begin < length:
        time.sleep(0.1)
    far.heal()
    wait_until(lambda: rc.ids == [0, 1], "they are back under their numbers", T)
    ends = [result_or_name(task) for task in tasks]
    assert set(ends) <= {"EngineError", *pids}
    for path in stack.root.glob("lines-*"):
        # An engine behind a dead network may run what the controller gives to others meanwhile.
        assert len(path.read_text().splitlines()) == 1 or "runs twice" in stack.controller.text()
    assert rc[:].apply_async(os.getpid).get(timeout=T) == pids
    assert rc[:].pull("kept").get(timeout=T) == [42, 42]
    assert len(rc.load_balanced_view().map_async(abs, range(20)).get(timeout=T)) == 20
    holds_for(lambda: rc.ids == [0, 1], "they stay", 2)
