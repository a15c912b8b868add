"""Engines as an MPI job: ids are ranks, and user code has the communicator."""

from __future__ import annotations

import importlib.util
import os
import shutil

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from launcher.harness import MPI_ENVIRONMENT

from . import pairings
from .conftest import StackFactory
from .pairings import B, C
from .polling import wait_until
from .stack import Stack

T = 60.0

pytestmark = pytest.mark.pairings(B, C, why="our engines")


@interactive
def reduce_ranks() -> tuple[int, int, int]:
    """Rank and size as the engine's start has left them, and the sum over all ranks."""
    return mpi_rank, mpi_size, MPI.COMM_WORLD.allreduce(mpi_rank)  # type: ignore[name-defined] # noqa: F821


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="there is no mpirun here")
@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed")
def test_ids_are_ranks(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller()
    rc = stack.client()
    job = ["mpirun", "-n", "3", *pairings.command("ours", "engine"), "--mpi"]
    stack.spawn("engine-0", "ours", job, **MPI_ENVIRONMENT)
    wait_until(lambda: rc.ids == [0, 1, 2], "three engines", T)
    assert rc[:].apply_async(reduce_ranks).get(timeout=T) == [(i, 3, 3) for i in range(3)]


def test_a_missing_module_is_named(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller()
    proc = stack.start_engine("--mpi=no_such_mpi")
    assert proc.wait(T) != 0
    assert "No module named 'no_such_mpi'" in proc.text()


FAKE_TRILINOS = """
import pathlib
calls = pathlib.Path(__file__).parent.parent / "calls"

class PyComm:
    def MyPID(self):
        calls.open("a").write("MyPID\\n")
        return 3
    def NumProc(self):
        calls.open("a").write("NumProc\\n")
        return 5
"""


def start_with_trilinos(stack: Stack, *args: str) -> ipp.Client:
    """An engine that finds a PyTrilinos which writes down what is called."""
    package = stack.root / "PyTrilinos"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "Epetra.py").write_text(FAKE_TRILINOS)
    stack.start_controller()
    rc = stack.client()
    rank = {"OMPI_COMM_WORLD_RANK": "3"}
    stack.start_engine("--mpi=pytrilinos", *args, PYTHONPATH=str(stack.root), **rank)
    wait_until(lambda: rc.ids == [3], "the engine, under its rank", T)
    return rc


@pytest.mark.seeds(96)
def test_pytrilinos_initialises_mpi(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = start_with_trilinos(stack)
    assert rc[3].pull(["mpi_rank", "mpi_size"]).get(timeout=T) == [3, 5]
    assert (stack.root / "calls").read_text().split() == ["MyPID", "NumProc"]


def test_code_of_the_users_own_initialises_mpi(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = start_with_trilinos(stack, "--init-mpi=mine = 'ready'", "-c", "then = mine + '!'")
    assert rc[3].pull("then").get(timeout=T) == "ready!", "before all other startup code"
    assert not (stack.root / "calls").exists()


def test_init_writes_a_profile_that_the_next_engine_follows(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller()
    rc = stack.client()
    stack.start_engine("--init")
    wait_until(lambda: rc.ids == [0], "the engine", T)
    config = stack.profile_dir / "ipengine_config.py"
    assert "c.IPEngine.startup_command" in config.read_text()
    assert (stack.profile_dir / "startup").is_dir()
    with config.open("a") as file:
        file.write("\nc.IPEngine.startup_command = 'x = 1'\n")
        file.write("c.InteractiveShellApp.exec_lines = ['y = 2']\n")
    stack.start_engine("--init", "-c", "x = 3")
    stack.start_engine()
    wait_until(lambda: rc.ids == [0, 1, 2], "the next engines", T)
    by_process = dict(zip(rc[:].apply_async(os.getppid).get(timeout=T), rc.ids, strict=True))
    given, plain = (by_process[proc.pid] for proc in stack.engines[1:])
    assert rc[given].pull(["x", "y"]).get(timeout=T) == [3, 2], "the command line comes first"
    assert rc[plain].pull(["x", "y"]).get(timeout=T) == [1, 2]
