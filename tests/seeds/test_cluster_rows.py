"""Rows about ipcluster, the Cluster class, launchers and their configuration."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Home


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Home]:
    """A home in which nothing runs, before and after the test."""
    made = Home(tmp_path)
    yield made
    made.shell("ipcluster stop --all")


def in_foreground(home: Home, command: str, until: str, seconds: float = 40) -> str:
    """Run a command until it has printed a text, stop it with Ctrl-C, return all it printed."""
    log = home.root / "out.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=home.root,
            env=home.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + seconds
        while until not in log.read_text():
            assert time.monotonic() < end, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
    finally:
        process.send_signal(2)
        status = process.wait(20)
    assert status == 0
    return log.read_text()


@pytest.mark.seeds(20, 21, 22, 23, 24, 77, 88)
def test_ipcluster_start_as_the_page_shows_it(empty_home: Home) -> None:
    text = in_foreground(empty_home, "ipcluster start", "ipp.Client(")
    engines = len(os.sched_getaffinity(0))
    profile = empty_home.root / ".ipython" / "profile_default"
    for line in (
        r"\[IPClusterStart\] Starting ipcluster with \[daemon(ize)?=False\]",
        rf"Creating pid file: {profile}/pid/ipcluster.pid",
        r"Starting Controller with LocalControllerLauncher",
        rf"Starting {engines} Engines with LocalEngineSetLauncher",
        r"import ipyfleet as ipp",
        r"rc = ipp\.Client\(",
    ):
        assert re.search(line, text), text
    assert not (profile / "pid" / "ipcluster.pid").exists()
    assert not (profile / "security" / "cluster-.json").exists()
    logs = [each.name for each in (profile / "log").iterdir()]
    assert any(name.startswith("ipengine-") for name in logs), "kept"


@pytest.mark.seeds(37, 76)
@pytest.mark.parametrize("command", ["ipcluster start -n 4", "ipcluster -n 4"])
def test_four_engines(empty_home: Home, command: str) -> None:
    text = in_foreground(empty_home, command, "ipp.Client(")
    assert "4 of 4 engines registered" in text


@pytest.mark.seeds(25, 27)
def test_the_old_name_of_the_engine_launcher_class(empty_home: Home) -> None:
    profile = empty_home.root / ".ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipcluster_config.py").write_text(
        "c = get_config()\nc.IPClusterEngines.engine_launcher_class = 'SSH'\n"
    )
    shown = empty_home.shell("ipcluster start --show-config")
    assert shown.stdout.splitlines()[1] == "c.Cluster.engine_launcher_class = 'SSH'"
    printed = empty_home.python(
        "import logging\nlogging.disable()\nimport ipyfleet as ipp\n"
        "print(ipp.Cluster().engine_launcher_class.__name__)\n"
    )
    assert printed == "SSHEngineSetLauncher\n"


@pytest.mark.seeds(26, 38)
def test_all_the_ways_to_start_engines(empty_home: Home) -> None:
    names = "MPI PBS SGE LSF HTCondor Slurm SSH WindowsHPC WinHPC winhpc mpi"
    printed = empty_home.python(
        "import ipyfleet as ipp\n"
        f"for name in {names.split()}:\n"
        "    print(ipp.Cluster(engines=name).engine_launcher_class.__name__)\n"
    )
    classes = [f"{name}EngineSetLauncher" for name in names.split()[:8]]
    assert printed.split() == [*classes, *["WindowsHPCEngineSetLauncher"] * 2, classes[0]]


@pytest.mark.seeds(28)
def test_engines_by_mpi(empty_home: Home) -> None:
    fake = empty_home.root / "bin"
    fake.mkdir()
    (fake / "mpiexec").write_text('#!/bin/sh\necho "mpiexec says $*" >&2\nexit 7\n')
    (fake / "mpiexec").chmod(0o755)
    empty_home.environment["PATH"] = f"{fake}{os.pathsep}{empty_home.environment['PATH']}"
    done = empty_home.shell("ipcluster start -n 2 --engines=MPI --daemonize")
    assert done.returncode == 1
    assert "mpiexec says -n 2 " in done.stderr, "a clear message"


@pytest.mark.seeds(56)
def test_top_level_await(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    from IPython.core.interactiveshell import InteractiveShell

    code = (
        "import ipyfleet as ipp\ncluster = ipp.Cluster(n=4)\nawait cluster.start_cluster()\n"
        "rc = await cluster.connect_client()\nrc.wait_for_engines(n=4, interactive=False)\n"
        "ids = rc.ids\nrc.close()\nawait cluster.stop_cluster()\n"
    )
    shell = InteractiveShell.instance()
    try:
        result = asyncio.run(shell.run_cell_async(code, transformed_cell=code))
        result.raise_error()
        assert shell.user_ns["ids"] == [0, 1, 2, 3]
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.seeds(57, 61)
def test_sync_twins(empty_home: Home) -> None:
    printed = empty_home.python(
        "import ipyfleet as ipp\n"
        "cluster = ipp.Cluster(n=4)\n"
        "cluster.start_cluster_sync()\n"
        "rc = cluster.connect_client_sync()\n"
        "rc.wait_for_engines(n=4)\n"
        "print(rc.ids)\n"
        "print(rc[:].apply_sync(lambda: 'Hello, World'))\n"
        "import inspect\n"
        "for name, f in inspect.getmembers(ipp.Cluster, inspect.iscoroutinefunction):\n"
        "    assert name[0] == '_' or hasattr(ipp.Cluster, name + '_sync'), name\n"
    )
    assert printed == f"[0, 1, 2, 3]\n{['Hello, World'] * 4}\n"


@pytest.mark.seeds(60)
def test_start_and_connect(empty_home: Home) -> None:
    printed = empty_home.python(
        "import ipyfleet as ipp\nrc = ipp.Cluster(n=4).start_and_connect_sync()\nprint(rc.ids)\n"
    )
    assert printed == "[0, 1, 2, 3]\n"


@pytest.mark.seeds(58, 59, 67)
def test_from_file_finds_what_the_command_line_started(home: Home) -> None:
    file = home.root / ".ipython" / "profile_default" / "security" / "cluster-.json"
    assert json.loads(file.read_text())["cluster"]["cluster_id"] == ""
    printed = home.python(
        "import ipyfleet as ipp\n"
        "cluster = ipp.Cluster.from_file()\n"
        "rc = cluster.connect_client_sync()\n"
        "print(rc.ids)\n"
        f"again = ipp.Cluster.from_file({str(file)!r})\n"
        "print(repr(again.cluster_id), again.n)\n"
        f"print(ipp.Cluster(cluster_id='').cluster_file == {str(file)!r})\n"
    )
    assert printed == "[0, 1, 2, 3]\n'' 4\nTrue\n"


@pytest.mark.seeds(66)
def test_from_file_by_profile_and_cluster_id(empty_home: Home) -> None:
    started = empty_home.shell(
        "ipcluster start -n 1 --profile=myprofile --cluster-id=abc --daemonize"
    )
    assert started.returncode == 0, started.stderr
    printed = empty_home.python(
        "import ipyfleet as ipp\n"
        'cluster = ipp.Cluster.from_file(profile="myprofile", cluster_id="abc")\n'
        "rc = cluster.connect_client_sync()\n"
        "print(rc.ids)\n"
        "rc.close()\n"
        "cluster.stop_cluster_sync()\n"
    )
    assert printed == "[0]\n"
    assert empty_home.shell("ipcluster stop --profile=myprofile abc").returncode == 11
