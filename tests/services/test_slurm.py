"""Slurm with three nodes, and the PBS commands over it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Site, free_ports, need, service


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a running Slurm."""
    need("sbatch", "slurmctld", "slurmd", "munged")
    directory = Path("/tmp") / f"ipf-slurm-{os.getpid()}"
    yield from (directory for _ in service("slurm.sh", directory, "3", str(free_ports(4))))


@pytest.fixture
def on_slurm(site: Site, slurm: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A profile whose commands find the Slurm."""
    monkeypatch.setenv("SLURM_CONF", str(slurm / "slurm.conf"))
    site.env["SLURM_CONF"] = str(slurm / "slurm.conf")
    return site


def jobs(site: Site) -> list[str]:
    done = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i %j %T %P %l"],
        env=site.env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_start_interrupt_stop(on_slurm: Site) -> None:
    site = on_slurm
    settings = '--engine-settings={"queue": "main", "timelimit": "0:20:00"}'
    site.timed("start", "--daemonize", "-n", "3", "--engines=slurm", "--controller=Slurm", settings)
    assert [line.split()[1:4] for line in jobs(site) if "ipengine" in line] == [
        ["ipengine", "RUNNING", "main"]
    ] * 3
    assert [line.split()[4] for line in jobs(site) if "ipengine" in line] == ["20:00"] * 3
    with site.client() as rc:
        site.interrupt(rc, by_launcher=True)
    assert site.run("list").stdout.splitlines()[1].split()[2:] == ["True", "3", "Slurm"]
    site.timed("stop")
    assert [line for line in jobs(site) if "COMPLETING" not in line] == []
    site.assert_nothing_left()


def test_a_cluster_that_lost_its_ipcluster_is_stopped(on_slurm: Site) -> None:
    site = on_slurm
    site.timed("start", "--daemonize", "-n", "2", "--engines=slurm")
    os.kill(site.cluster()["ipyfleet"]["ipcluster"]["pid"], 9)
    again = site.run("start", "-n", "1")
    assert again.returncode == 10
    assert "already running" in again.stderr
    site.timed("stop")
    site.assert_nothing_left()


def test_one_engine_is_stopped_and_the_others_go_on(on_slurm: Site) -> None:
    site = on_slurm
    process = site.foreground_ready("-n", "2", "--engines=slurm")
    launcher = site.engines()
    launcher.stop(index=0)
    text = site.wait_for_output("Engine 0 (id", process)
    assert "CANCELLED" in text
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 0
    site.assert_nothing_left()


def test_a_refused_job_tells_why(on_slurm: Site) -> None:
    done = on_slurm.run(
        "start", "-n", "2", "--engines=slurm", '--engine-settings={"queue": "no-such-partition"}'
    )
    assert done.returncode == 1
    assert "sbatch did not take the job" in done.stderr
    assert "invalid partition" in done.stderr
    on_slurm.assert_nothing_left()


def test_an_own_template(on_slurm: Site) -> None:
    template = on_slurm.root / "template"
    template.write_text(
        "#!/bin/sh\n#SBATCH --ntasks={n}\n#SBATCH --output={output_file}\n"
        "#SBATCH --job-name=mine-{word}\n#SBATCH --nodes={max(n//2, 1)}\nsrun {program_and_args}\n"
    )
    settings = json.dumps({"batch_template_file": str(template), "namespace": {"word": "x"}})
    site = on_slurm
    site.timed(
        "start", "--daemonize", "-n", "2", "--engines=slurm", f"--engine-settings={settings}"
    )
    assert [line.split()[1] for line in jobs(site)] == ["mine-x"]
    with site.client() as rc:
        site.interrupt(rc, by_launcher=True)
    site.timed("stop")
    site.assert_nothing_left()


@pytest.fixture(scope="module")
def torque(slurm: Path) -> Path:
    """The PBS commands; their package is no friend of Grid Engine's and is only unpacked."""
    need("dpkg", "apt-get")
    subprocess.run(
        ["apt-get", "-qq", "download", "slurm-wlm-torque"], cwd=slurm, check=False, timeout=60
    )
    packages = list(slurm.glob("slurm-wlm-torque*.deb"))
    if not packages or not Path("/usr/share/perl5/Switch.pm").exists():
        pytest.skip("the package slurm-wlm-torque or its Perl libraries cannot be had")
    subprocess.run(["dpkg", "-x", str(packages[0]), str(slurm / "torque")], check=True)
    programs = slurm / "torque" / "usr" / "bin"
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun", "salloc"):
        (programs / name).symlink_to(shutil.which(name) or name)  # they look beside themselves
    return programs


def test_pbs(on_slurm: Site, torque: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = on_slurm
    site.env["PATH"] = f"{torque}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", site.env["PATH"])
    site.timed("start", "--daemonize", "-n", "2", "--engines=pbs", "--controller=PBS")
    with site.client() as rc:
        site.interrupt(rc, by_launcher=False)  # Slurm's PBS commands have no qsig
    site.timed("stop")
    site.assert_nothing_left()
