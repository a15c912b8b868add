"""Every load-balancing scheme gives all engines work; an unknown one is refused."""

from __future__ import annotations

import os
import subprocess
from collections import Counter

import pytest
from ipyparallel import interactive

from . import pairings
from .conftest import StackFactory
from .pairings import REAL, C

ENGINES = 3
TASKS = 200
SCHEMES = ["leastload", "lru", "plainrandom", "twobin", "weighted", "pure"]

pytestmark = pytest.mark.pairings(C, REAL, why="the scheme concerns the controller only")


@interactive
def where(i: int) -> tuple[int, int]:
    """A short task: its number and the pid of its engine."""
    import os
    import time

    time.sleep(0.001)
    return i, os.getpid()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_200_tasks_on_3_engines(make_stack: StackFactory, scheme: str) -> None:
    stack = make_stack()
    stack.start_controller(f"--scheme={scheme}")
    rc = stack.client()
    for _ in range(1 if scheme != "pure" else ENGINES):
        # A client of "pure" gives up when engines do not arrive in the order of their ids.
        stack.add_engines(rc, ENGINES if scheme != "pure" else 1)
    assert stack.connection("client")["task_scheme"] == scheme
    view = rc.load_balanced_view()
    results = [view.apply_async(where, i) for i in range(TASKS)]
    answers = [ar.get(timeout=30) for ar in results]
    assert [number for number, _ in answers] == list(range(TASKS))
    shares = Counter(pid for _, pid in answers)
    assert set(shares) == set(rc[:].apply_sync(os.getpid)), "an engine got no work"
    if scheme in {"lru", "leastload", "pure"}:
        assert min(shares.values()) > TASKS / ENGINES / 4, f"very uneven: {shares}"


@pytest.mark.parametrize("hwm", [0, 1, 5])
def test_high_water_mark(make_stack: StackFactory, hwm: int) -> None:
    stack = make_stack()
    rc = stack.start(2, f"--hwm={hwm}")
    view = rc.load_balanced_view()
    gate = stack.root / "gate"

    @interactive
    def wait_for_gate(path: str) -> int:
        import os
        import pathlib
        import time

        while not pathlib.Path(path).exists():
            time.sleep(0.01)
        return os.getpid()

    blocked = [view.apply_async(wait_for_gate, str(gate)) for _ in range(20)]
    status = rc.queue_status()
    for _ in range(100):
        status = rc.queue_status()
        assigned = sum(status[i]["tasks"] for i in rc.ids)
        if assigned + status["unassigned"] == len(blocked):
            break
    gate.touch()
    pids = {ar.get(timeout=20) for ar in blocked}
    assert len(pids) == 2
    expected = len(blocked) if hwm == 0 else 2 * hwm
    assert sum(status[i]["tasks"] for i in range(2)) == expected


@pytest.mark.pairings(C, why="the reference starts with a dead scheduler (users.md 7)")
def test_unknown_scheme_is_refused(make_stack: StackFactory) -> None:
    stack = make_stack()
    done = subprocess.run(
        [*pairings.command("ours", "controller"), "--scheme=bogus"],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=10,
        cwd=stack.root,
    )
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert "bogus" in lines[0]
    assert "leastload" in lines[0], "the line does not say what is possible"
    assert not stack.connection_file("client").exists()
