"""`ipcluster doctor` where the network between hosts fails: it names what fails, and the fix."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from .conftest import StackFactory
from .hosts import Lan
from .pairings import A, C, command, our_binary
from .polling import wait_until
from .stack import Stack
from .test_abuse_machine import CLOCK_SIGNAL, movable_clock

pytestmark = pytest.mark.pairings(A, C, why="the doctor's figures are those of our controller")
PORTS = list(range(10101, 10115))
Findings = dict[str, tuple[str, str]]


@pytest.fixture
def lan() -> Iterator[Lan]:
    """The controller's host and one of engines; the doctor is on this one."""
    with Lan(2) as lan:
        yield lan


def start(stack: Stack, lan: Lan) -> None:
    """Start one engine on the second host."""
    controller, engines = lan.hosts
    where = (f"--ip={controller.address}", f"--location={controller.address}")
    ports = f"--ports={PORTS[0]}-{PORTS[-1]}"
    stack.start_controller(*where, ports, ping=1000, prefix=controller.prefix)
    rc = stack.client(timeout=20)
    stack.start_engine(prefix=engines.prefix)
    wait_until(lambda: len(rc.ids) == 1, "the engine is there", 30)
    stack.close_clients()


def examine(stack: Stack) -> Findings:
    """Return what is not well: verdict and detail with fix, by the name of the check."""
    done = subprocess.run(
        [
            our_binary("ipcluster"),
            "doctor",
            "--json",
            "--timeout=1.5",
            f"--profile-dir={stack.profile_dir}",
        ],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return {
        check["check"]: (check["verdict"], f"{check['detail']} FIX {check['fix']}")
        for check in json.loads(done.stdout)["checks"]
        if check["verdict"] != "ok"
    }


@pytest.mark.pairings(C, why="one is enough for the network")
def test_each_fault_of_the_network_is_named(make_stack: StackFactory, lan: Lan) -> None:
    stack = make_stack()
    start(stack, lan)
    controller, engines = lan.hosts
    assert examine(stack) == {}

    mux = stack.connection("client")["mux"]
    controller.fault(f"tcp dport {mux} drop", "in")
    found = examine(stack)
    assert found.keys() >= {"port client mux"}
    assert "no answer" in found["port client mux"][1]
    assert "firewall" in found["port client mux"][1]

    controller.fault(f"tcp dport {mux} reject with tcp reset", "in")
    assert "nobody listens" in examine(stack)["port client mux"][1]
    controller.heal()

    engines.loss(100)  # without a word
    found = examine(stack)
    assert "does not answer on the control channel" in found["engine 0"][1]
    assert not [name for name in found if name.startswith("port")]
    engines.heal()

    controller.unplug()
    found = examine(stack)
    assert found["port client registration"][0] == "FAIL"
    assert "hub" not in found, "what explains the rest is told, the rest is not"
    controller.heal()
    wait_until(lambda: examine(stack) == {}, "all is well again", 30)


def test_clock_of_the_controller_is_compared(make_stack: StackFactory) -> None:
    stack = make_stack()
    argv = [*command("ours", "controller"), "--ping=1000"]
    controller = stack.spawn("controller-0", "ours", argv, **movable_clock(stack, 1))
    stack.wait_for_files(controller)
    stack.start_engines(1)
    stack.close_clients()
    assert examine(stack) == {}
    os.kill(controller.pid, CLOCK_SIGNAL)
    found = examine(stack)
    assert found.keys() == {"clock"}
    assert "differs by 3600.0 s" in found["clock"][1]
    assert "it is ahead" in found["clock"][1]
