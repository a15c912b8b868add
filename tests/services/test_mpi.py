"""Engines as one MPI job, by ipcluster."""

from __future__ import annotations

import importlib.util
import shutil

import pytest
from launcher.harness import MPI_ENVIRONMENT

from .conftest import Site


@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="there is no mpiexec here")
@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed")
def test_start_interrupt_stop(site: Site) -> None:
    site.env.update(MPI_ENVIRONMENT | {"OMPI_MCA_plm_rsh_agent": "/bin/false"})
    site.timed("start", "--daemonize", "-n", "3", "--engines=MPI")
    with site.client() as rc:
        code = "from mpi4py import MPI; total = MPI.COMM_WORLD.allreduce(MPI.COMM_WORLD.rank)"
        rc[:].execute(code, block=True)
        assert rc[:].pull("total", block=True) == [3, 3, 3]
        site.interrupt(rc, by_launcher=False)  # SIGINT would end mpiexec itself
    site.timed("stop")
    site.assert_nothing_left()


@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="there is no mpiexec here")
def test_a_failing_mpiexec_ends_the_start(site: Site) -> None:
    done = site.run(
        "start", "-n", "2", "--engines=MPI", '--engine-settings={"mpi_args": ["--no-such-option"]}'
    )
    assert done.returncode == 1
    assert "no-such-option" in done.stderr
    site.assert_nothing_left()
