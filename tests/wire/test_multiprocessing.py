"""Python child processes of an engine are plain Python, never more engines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import ipyparallel as ipp
import pytest
from ipyparallel import interactive

from .pairings import Pairing
from .polling import wait_until
from .procs import kill_all, stack_processes
from .stack import Stack

T = 30.0
CHILDREN_MAX = 8  # pool workers, resource tracker, helpers
HELPERS_THAT_STAY = 2  # multiprocessing's resource tracker and fork server live with the engine


class Limit:
    """Kills the whole stack as soon as it has more processes than allowed."""

    def __init__(self, stack: Stack) -> None:
        self._token = stack.token
        self._limit = len(stack.processes()) + CHILDREN_MAX
        self._done = threading.Event()
        self.exceeded: list[str] = []
        self.most = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            found = stack_processes(self._token)
            self.most = max(self.most, len(found))
            if len(found) > self._limit:
                self.exceeded = [info.command for info in found]
                kill_all(self._token)
                return

    def stop(self) -> None:
        """End the watch and fail if the limit was exceeded."""
        self._done.set()
        self._thread.join(10)
        assert not self.exceeded, f"more than {self._limit} processes: {self.exceeded}"


@pytest.fixture(scope="module")
def counted(pairing: Pairing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with one engine for this file."""
    stack = Stack(tmp_path_factory.mktemp(f"processes-{pairing.name}"), pairing)
    stack.start(1)
    yield stack
    stack.stop()


@pytest.fixture
def rc(counted: Stack) -> Iterator[ipp.Client]:
    """A client of one engine whose processes are counted."""
    client = counted.client()
    before = len(counted.processes())
    limit = Limit(counted)
    yield client
    allowed = before + HELPERS_THAT_STAY
    try:
        wait_until(lambda: len(counted.processes()) <= allowed, "children of the engine ended", 10)
        assert client.ids == [0], "the children registered engines or cost the engine"
    finally:
        limit.stop()
        counted.close_clients()


def test_sys_executable_is_the_python_of_the_environment(rc: ipp.Client) -> None:
    def facts() -> tuple[str, str, str, bool]:
        import ipyparallel

        return sys.executable, sys.prefix, ipyparallel.__file__, hasattr(sys, "argv")

    facts.__module__ = "__main__"
    rc[0].execute("import sys", block=True)
    executable, prefix, package, has_argv = rc[0].apply_async(facts).get(timeout=T)
    assert Path(executable).resolve() == Path(sys.executable).resolve()
    assert Path(executable).name.startswith("python")
    assert prefix == sys.prefix
    assert package == ipp.__file__
    assert has_argv


def test_subprocess_of_sys_executable(rc: ipp.Client) -> None:
    @interactive
    def child() -> str:
        import subprocess
        import sys

        code = "import sys, numpy; print(sys.prefix, 'ipykernel' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=20
        )
        return done.stdout + done.stderr

    assert rc[0].apply_async(child).get(timeout=T).split() == [sys.prefix, "False"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_pool_of_processes(rc: ipp.Client, method: str) -> None:
    @interactive
    def pool(method: str) -> tuple[list[int], int]:
        import multiprocessing
        import os

        with multiprocessing.get_context(method).Pool(2) as workers:
            values = workers.map(abs, range(-5, 5), chunksize=1)
            pids = {workers.apply(os.getpid) for _ in range(4)}
        return values, len(pids - {os.getpid()})

    values, children = rc[0].apply_async(pool, method).get(timeout=T)
    assert values == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]
    assert children in {1, 2}


def test_process_pool_executor(rc: ipp.Client) -> None:
    @interactive
    def executor() -> list[int]:
        import concurrent.futures
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as workers:
            return list(workers.map(abs, [-1, -2, -3]))

    assert rc[0].apply_async(executor).get(timeout=T) == [1, 2, 3]


def test_a_forked_child_does_not_answer_for_the_engine(rc: ipp.Client) -> None:
    @interactive
    def fork() -> tuple[int, int]:
        import os

        child = os.fork()
        if child == 0:
            try:
                print("text of the child", flush=True)
            finally:
                os._exit(3)
        return os.getpid(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    pid, status = rc[0].apply_async(fork).get(timeout=T)
    assert status == 3
    assert rc[0].apply_async(interactive(lambda: __import__("os").getpid())).get(timeout=T) == pid
