"""Grid Engine, which has no command that sends a signal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Site, free_ports, need, service


@pytest.fixture(scope="module")
def sge() -> Iterator[dict[str, str]]:
    """The variables that find a running Grid Engine."""
    need("qconf")
    if not Path("/usr/lib/gridengine/sge_qmaster").exists():
        pytest.skip("the package gridengine-master is not installed")
    directory = Path("/tmp") / f"ipf-sge-{os.getpid()}"
    yield from (
        dict(line.split("=", 1) for line in (directory / "env").read_text().splitlines())
        for _ in service("sge.sh", directory, "8", str(free_ports(2)))
    )


def test_start_interrupt_stop(
    site: Site, sge: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.env.update(sge)
    for name, value in sge.items():
        monkeypatch.setenv(name, value)
    settings = '--engine-settings={"queue": "all.q", "walltime": "0:20:0"}'
    site.timed("start", "--daemonize", "-n", "3", "--engines=sge", "--controller=sge", settings)
    with site.client() as rc:
        assert len(rc.ids) == 3
        site.interrupt(rc, by_launcher=False)
    site.timed("stop")
    site.assert_nothing_left()
