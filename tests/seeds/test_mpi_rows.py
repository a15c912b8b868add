"""Engines as an MPI job, as the oldest document starts them."""

from __future__ import annotations

import importlib.util
import shutil
import socket

import pytest
from launcher.harness import MPI_ENVIRONMENT

from .conftest import ByHand, T

pytestmark = pytest.mark.skipif(
    shutil.which("mpirun") is None, reason="no mpirun; on Debian: apt-get install openmpi-bin"
)
needs_mpi4py = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed"
)
RANKS = """\
import ipyfleet as ipp
with ipp.Client() as rc:
    rc.wait_for_engines({n}, timeout=40)
    print(rc.ids, rc[:].apply_sync(lambda: {what}))
    rc.shutdown(hub=True)
"""


@pytest.fixture
def mpi_by_hand(by_hand: ByHand) -> ByHand:
    by_hand.environment |= MPI_ENVIRONMENT
    return by_hand


@pytest.mark.seeds(87)
def test_engines_that_are_told_where_the_controller_is(mpi_by_hand: ByHand) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mpi_by_hand.type(f"ipcontroller --engine-port={port}")
    mpi_by_hand.wait_for_controller()
    line = "mpirun -n 4 ipengine --controller-port=10000 --controller-ip=host0"
    mpi_by_hand.type(line.replace("10000", str(port)).replace("host0", "localhost"))
    shown = mpi_by_hand.python(RANKS.format(n=4, what="'here'"))
    assert shown == f"[0, 1, 2, 3] {['here'] * 4}\n"


@pytest.mark.seeds(95)
@needs_mpi4py
def test_mpi4py(mpi_by_hand: ByHand) -> None:
    mpi_by_hand.type("ipcontroller")
    mpi_by_hand.wait_for_controller()
    mpi_by_hand.type("mpirun -n 4 ipengine --mpi=mpi4py")
    shown = mpi_by_hand.python(RANKS.format(n=4, what="(mpi_rank, MPI.COMM_WORLD.Get_size())"))
    assert shown == "[0, 1, 2, 3] [(0, 4), (1, 4), (2, 4), (3, 4)]\n", "ids are ranks"


@pytest.mark.seeds(96)
def test_pytrilinos_that_is_not_installed(mpi_by_hand: ByHand) -> None:
    mpi_by_hand.type("ipcontroller")
    mpi_by_hand.wait_for_controller()
    job = mpi_by_hand.type("exec mpirun -n 4 ipengine --mpi=pytrilinos")
    assert job.wait(2 * T) != 0
    mpi_by_hand.wait_for_log(
        r"ERROR \| cannot start .*: ModuleNotFoundError: No module named 'PyTrilinos'"
    )


@pytest.mark.seeds(97)
@needs_mpi4py
def test_engines_need_not_start_mpi(mpi_by_hand: ByHand) -> None:
    mpi_by_hand.type("ipcontroller")
    mpi_by_hand.wait_for_controller()
    mpi_by_hand.type("mpirun -n 2 ipengine")
    what = "__import__('mpi4py.MPI').MPI.COMM_WORLD.Get_size()"
    assert mpi_by_hand.python(RANKS.format(n=2, what=what)) == "[0, 1] [2, 2]\n"
