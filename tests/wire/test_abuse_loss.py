"""Engines on a host whose network loses packets or is cut off (users.md 5c, 36 and 37)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import ipyparallel as ipp
import pytest

from . import pairings
from .conftest import StackFactory
from .hosts import FarHost
from .pairings import A, C
from .polling import holds_for, wait_until
from .stack import Stack

pytestmark = pytest.mark.pairings(A, C, why="our controller and engines behind a bad network")
FULL = os.environ.get("IPF_FULL", "") not in {"", "0"}
T = 60


@pytest.fixture
def far() -> Iterator[FarHost]:
    """A host for the engines."""
    with FarHost() as host:
        yield host


def start(stack: Stack, far: FarHost, engines: int, ping: int) -> ipp.Client:
    """The controller here, its engines there."""
    stack.start_controller(f"--ip={far.near}", f"--location={far.near}", ping=ping)
    rc = stack.client(timeout=20)
    for i in range(engines):
        argv = [*far.prefix, *pairings.command(stack.pairing.engines, "engine")]
        stack.spawn(f"engine-{i}", stack.pairing.engines, argv)
    wait_until(lambda: len(rc.ids) == engines, "engines on the far host", T)
    return rc


def test_loss_makes_it_slower_and_nothing_else(make_stack: StackFactory, far: FarHost) -> None:
    stack = make_stack()
    rc = start(stack, far, 2, ping=1000)
    pids = rc[:].apply_sync(os.getpid)
    far.loss(5)
    balanced = rc.load_balanced_view().map_async(len, [bytes(20_000)] * 100, chunksize=1)
    direct = [rc[:].apply_async(os.getpid) for _ in range(20)]
    assert balanced.get(timeout=T) == [20_000] * 100
    assert [call.get(timeout=T) for call in direct] == [pids] * 20
    assert rc.ids == [0, 1]
    assert "unregister_engine" not in stack.controller.text()


@pytest.mark.pairings(C, why="ipyparallel's engines do not come back (ip#6444)")
def test_engines_of_a_host_that_was_cut_off_keep_numbers_and_names(
    make_stack: StackFactory, far: FarHost
) -> None:
    ping, cut = (300, 12) if FULL else (100, 3)
    stack = make_stack()
    rc = start(stack, far, 2, ping=ping)
    pids = rc[:].apply_sync(os.getpid)
    rc[:].push({"kept": 42}, block=True)
    far.loss(100)
    begin = time.monotonic()
    wait_until(lambda: rc.ids == [], "the controller gives them up", T)
    while time.monotonic() - begin < cut:
        time.sleep(0.1)
    far.heal()
    wait_until(lambda: rc.ids == [0, 1], "they are back under their numbers", T)
    assert rc[:].apply_async(os.getpid).get(timeout=T) == pids
    assert rc[:].pull("kept").get(timeout=T) == [42, 42]
    assert len(rc.load_balanced_view().map_async(abs, range(20)).get(timeout=T)) == 20
    holds_for(lambda: rc.ids == [0, 1], "they stay", 2)
