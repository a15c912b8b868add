"""More data than memory should hold: large buffers go to disk, then clients have to wait."""

from __future__ import annotations

import os
from pathlib import Path

import ipyparallel as ipp
import pytest

from .conftest import StackFactory
from .pairings import C
from .polling import wait_until
from .stack import Stack

pytestmark = pytest.mark.pairings(C, why="it is our controller that is measured")

MEGABYTE = 1 << 20


@ipp.interactive
def first_byte_when(data: bytes, path: str) -> int:
    """Wait for a file, then say how the data begin."""
    import os
    import time

    deadline = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    return data[0] if len(data) == 1 << 20 else -1


def anonymous_memory(stack: Stack) -> int:
    """Bytes that the controller holds in memory, without what lies in files."""
    for line in Path(f"/proc/{stack.controller.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc")


def test_large_buffers_of_waiting_tasks_lie_on_disk(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1, "--spill-above=8MiB", "--nodb")
    before = anonymous_memory(stack)
    flag = stack.root / "flag"
    view = rc.load_balanced_view()
    count = 100
    tasks = [
        view.apply_async(first_byte_when, bytes([i]) * MEGABYTE, str(flag)) for i in range(count)
    ]
    wait_until(lambda: rc.queue_status()["unassigned"] == count - 1, "all tasks are queued", 30)
    assert anonymous_memory(stack) - before < 40 * MEGABYTE, "100 MiB wait"
    flag.touch()
    assert [ar.get(timeout=60) for ar in tasks] == list(range(count))
    log = stack.profile_dir / "log"
    assert not [path for path in log.iterdir() if path.stat().st_size > MEGABYTE]


def test_a_client_with_too_much_waits_and_another_does_not(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2, "--client-backlog=20MiB", "--nodb")
    flag = stack.root / "flag"
    view = rc.load_balanced_view(targets=0)
    tasks = [view.apply_async(first_byte_when, bytes([i]) * MEGABYTE, str(flag)) for i in range(60)]
    wait_until(lambda: "a client has too many bytes" in stack.controller.text(), "it has to wait")
    other = stack.client()
    assert other.load_balanced_view(targets=1).apply_async(os.getpid).get(timeout=10) > 0
    assert other.queue_status()["unassigned"] < 40, "the rest was not read"
    flag.touch()
    assert [ar.get(timeout=60) for ar in tasks] == list(range(60))
