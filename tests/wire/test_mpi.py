"""Engines as an MPI job: ids are ranks, and user code has the communicator."""

from __future__ import annotations

import importlib.util
import shutil

import pytest
from ipyparallel import interactive

from . import pairings
from .conftest import StackFactory
from .pairings import B, C
from .polling import wait_until

T = 60.0
# A job of more ranks than processors, as root, in a container.
MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}

pytestmark = [
    pytest.mark.pairings(B, C, why="our engines"),
    pytest.mark.skipif(shutil.which("mpirun") is None, reason="there is no mpirun here"),
]


@interactive
def reduce_ranks() -> tuple[int, int, int]:
    """Rank and size as the engine's start has left them, and the sum over all ranks."""
    return mpi_rank, mpi_size, MPI.COMM_WORLD.allreduce(mpi_rank)  # type: ignore[name-defined] # noqa: F821


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
