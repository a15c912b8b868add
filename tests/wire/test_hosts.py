"""A controller, two hosts of engines and a client, each with an address of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import ipyparallel as ipp
import pytest

from .conftest import StackFactory
from .hosts import Lan
from .pairings import A, C
from .polling import wait_until
from .stack import Stack

pytestmark = pytest.mark.pairings(A, C, why="our controller and engines on several hosts")
FULL = os.environ.get("IPF_FULL", "") not in {"", "0"}
# 300 is the longest case of the list of abuse cases; it is run by hand.
AWAY_S = float(os.environ.get("IPF_PARTITION_SECONDS", 30 if FULL else 2))
T = 60
# docs/guide/starting.md: this many ports, and no other, have to be open on the controller's host.
PORTS = list(range(10101, 10115))


@pytest.fixture
def lan() -> Iterator[Lan]:
    """The controller's host and two of engines; the client is on this one."""
    with Lan(3) as lan:
        yield lan


def start(stack: Stack, lan: Lan, ping: int = 300) -> ipp.Client:
    """Two engines on the second host, one on the third; returns a client on this one."""
    controller, *others = lan.hosts
    where = (f"--ip={controller.address}", f"--location={controller.address}")
    ports = f"--ports={PORTS[0]}-{PORTS[-1]}"
    stack.start_controller(*where, ports, ping=ping, prefix=controller.prefix)
    controller.firewall(PORTS)
    rc = stack.client(timeout=20)
    for i, host in enumerate([others[0], others[0], others[1]]):
        stack.start_engine(prefix=host.prefix)
        wait_until(lambda n=i + 1: len(rc.ids) == n, "the next engine is there", T)
    return rc


def network(rc: ipp.Client) -> list[str]:
    """The network namespace of each engine."""
    return rc[:].apply_sync(os.readlink, "/proc/self/ns/net")


def test_only_the_documented_ports_are_needed(make_stack: StackFactory, lan: Lan) -> None:
    stack = make_stack()
    rc = start(stack, lan)
    networks = network(rc)
    assert networks[0] == networks[1] != networks[2]
    assert os.readlink("/proc/self/ns/net") not in networks
    numbers = rc.load_balanced_view().map_sync(abs, range(-30, 0), chunksize=3)
    assert numbers == list(range(30, 0, -1))
    assert len(rc.broadcast_view().apply_sync(os.getpid)) == 3
    done = rc[2].execute("print('heard')")
    wait_until(lambda: "heard" in done.stdout, "output of the engine", T)
    assert set(rc.queue_status()) == {0, 1, 2, "unassigned"}


@pytest.mark.pairings(C, why="ipyparallel's engines do not come back (ip#6444)")
@pytest.mark.parametrize("how", ["silence", "cable"])
@pytest.mark.timeout(120 + AWAY_S)
def test_one_host_goes_and_comes_back(make_stack: StackFactory, lan: Lan, how: str) -> None:
    stack = make_stack()
    rc = start(stack, lan, ping=300 if FULL else 100)
    pids = rc[:].apply_sync(os.getpid)
    rc[:].push({"kept": 42}, block=True)
    lost = lan.hosts[1]
    if how == "cable":
        lost.unplug()
    else:
        lost.loss(100)
    begin = time.monotonic()
    wait_until(lambda: rc.ids == [2], "the engines of the other host are left", T)
    assert rc.load_balanced_view().apply_sync(os.getpid) == pids[2]
    while time.monotonic() - begin < AWAY_S:
        assert rc[2].apply_sync(os.getpid) == pids[2], "the others notice nothing"
        time.sleep(0.1)
    lost.heal()
    healed = time.monotonic()
    wait_until(lambda: rc.ids == [0, 1, 2], "they are back under their numbers", T)
    print(f"back {time.monotonic() - healed:.1f} s after the network")
    assert rc[:].apply_async(os.getpid).get(timeout=T) == pids
    assert rc[:].pull("kept").get(timeout=T) == [42, 42, 42]
