"""LSF and Windows HPC, which cannot be had: commands of their names that run what they get."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from .conftest import HERE, Site


@pytest.fixture
def fakes(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A profile with the stand-ins in PATH."""
    programs = site.root / "bin"
    programs.mkdir()
    for name, file in [
        ("bsub", "fake_lsf"),
        ("bjobs", "fake_lsf"),
        ("bkill", "fake_lsf"),
        ("job", "fake_hpc"),
    ]:
        link = programs / name
        link.write_text(
            f'#!/bin/sh\nFAKE_NAME={name} exec {sys.executable} -S -E {HERE / file}.py "$@"\n'
        )
        link.chmod(0o755)
    (site.root / "site").mkdir()
    site.env["FAKE_SITE"] = str(site.root / "site")
    site.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    monkeypatch.setenv("FAKE_SITE", site.env["FAKE_SITE"])
    monkeypatch.setenv("PATH", site.env["PATH"])
    return site


def test_lsf_start_interrupt_stop(fakes: Site) -> None:
    site = fakes
    settings = '--engine-settings={"queue": "long", "walltime": "0:20"}'
    site.timed("start", "--daemonize", "-n", "2", "--engines=LSF", "--controller=lsf", settings)
    script = (Path(site.env["FAKE_SITE"]) / "script.2").read_text()
    assert "#BSUB -q long\n#BSUB -W 0:20\n" in script
    examined = site.run("doctor")
    assert examined.returncode == 0, examined.stdout
    for line in ("ok    launcher lsf +bjobs is", "ok    jobs +what the cluster file names"):
        assert re.search(f"^{line}", examined.stdout, re.MULTILINE), examined.stdout
    with site.client() as rc:
        site.interrupt(rc, by_launcher=True)
    site.timed("stop")
    site.assert_nothing_left()


def test_lsf_task_that_dies_is_reported(fakes: Site) -> None:
    done = fakes.run(
        "start", "-n", "2", "--engines=lsf", "--engine-cmd=sh -c 'echo no licence; exit 3'"
    )
    assert done.returncode == 1
    assert "exit status 3; state EXIT" in done.stderr
    assert "no licence" in done.stderr
    fakes.assert_nothing_left()


def test_windows_hpc_start_stop(fakes: Site) -> None:
    site = fakes
    settings = '--engine-settings={"scheduler": "HEAD"}'
    site.timed("start", "--daemonize", "-n", "2", "--engines=WindowsHPC", settings)
    with site.client() as rc:
        site.interrupt(rc, by_launcher=False)
    site.timed("stop")
    site.assert_nothing_left()
