"""Our client outlives a controller whose successor has other ports, or another key."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ipyfleet
import pytest

from .conftest import StackFactory
from .pairings import C
from .polling import wait_until
from .stack import Stack
from .tasks import run_and_tell

T = 30.0

pytestmark = pytest.mark.pairings(C, why="the reference's engines do not come back")


def other_ports(stack: Stack) -> list[str]:
    """The next controller makes new files."""
    for role in ("client", "engine"):
        stack.connection_file(role).unlink()
    return []


def other_key(stack: Stack) -> list[str]:
    """The next controller has the old ports, and the key that stands in the files then."""
    for role in ("client", "engine"):
        info = stack.connection(role)
        renewed = stack.connection_file(role).with_suffix(".new")
        renewed.write_text(json.dumps(info | {"key": "another-key"}))
        renewed.rename(stack.connection_file(role))
    return ["--reuse"]


@pytest.mark.parametrize("change", [other_ports, other_key])
def test_it_goes_to_the_controller_of_the_new_file(
    make_stack: StackFactory, change: Callable[[Stack], list[str]]
) -> None:
    stack = make_stack()
    stack.start_controller("--reuse")
    stack.start_engines(1).close()
    runs = stack.root / "runs"
    with ipyfleet.Client(str(stack.connection_file("client"))) as rc:
        wait_until(lambda: rc.ids == [0], "the engine")
        pid = rc[0].apply_sync(os.getpid)
        rc[0].push({"kept": 42}, block=True)
        running = rc[0].apply_async(run_and_tell, str(runs), 1.5)
        queued = rc[0].apply_async(os.getpid)
        wait_until(runs.exists, "the call runs")
        stack.kill_controller()
        arguments = change(stack)
        time.sleep(0.2)  # the client tries the old address meanwhile
        balanced = rc.load_balanced_view().apply_async(os.getpid)
        stack.start_controller(*arguments)
        assert balanced.get(T) == pid
        assert running.get(T) == pid
        assert queued.get(T) == pid
        assert Path(runs).read_text() == "run\n"
        assert rc.ids == [0]
        assert rc[0].pull("kept", block=True) == 42
        assert rc.queue_status()["unassigned"] == 0


def test_a_file_that_is_too_old_is_read_again(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller()
    stack.kill_controller()
    path = stack.connection_file("client")
    with ThreadPoolExecutor() as pool, socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(T)
        port = nobody.getsockname()[1]
        path.write_text(json.dumps(stack.connection("client") | {"registration": port}))
        client = pool.submit(ipyfleet.Client, str(path), timeout=T)
        with nobody.accept()[0]:  # it has read the file
            stack.start_controller(*other_ports(stack))
            with client.result(T) as rc:
                assert rc.queue_status()["unassigned"] == 0
