"""Engines and controllers over ssh, with a real sshd under several host names."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from launcher.harness import wait_until

from .conftest import Site, free_ports, need, service


@pytest.fixture(scope="module")
def sshd() -> Iterator[Path]:
    """The directory of a running sshd."""
    need("ssh", "sshd")
    directory = Path("/tmp") / f"ipf-sshd-{os.getpid()}"
    yield from (directory for _ in service("sshd.sh", directory, str(free_ports(1))))


@pytest.fixture
def over_ssh(site: Site, sshd: Path) -> Site:
    """A profile whose tests know the ssh configuration that finds the hosts."""
    site.env["SSH_CONFIG"] = str(sshd / "ssh_config")
    return site


def settings(site: Site, text: str) -> str:
    config = site.env["SSH_CONFIG"]
    return f'{{"ssh_args": ["-F", "{config}"], {text}}}'


def agents() -> set[str]:
    """Directories that agents have made for their programs."""
    return {str(path.parent) for path in Path("/tmp").glob("tmp.*/.own")}


def test_two_hosts_start_interrupt_stop(over_ssh: Site) -> None:
    site = over_ssh
    before = agents()
    engines = settings(
        site, '"engines": {"host1": 2, "host2": {"n": 5, "engine_args": ["--log-level=debug"]}}'
    )
    site.timed("start", "--daemonize", "-n", "3", "--engines=ssh", f"--engine-settings={engines}")
    (engine_set,) = site.cluster()["engines"]["sets"].values()
    assert sorted(engine_set["engines"]) == ["host1/0", "host1/1", "host2/0"]
    command_lines = "".join(
        path.read_bytes().decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if os.access(path, os.R_OK)
    )
    key = (site.profile / "security" / "ipcontroller-engine.json").read_text().split('"key": "')[1]
    assert key.split('"')[0] not in command_lines
    with site.client() as rc:
        assert len(rc.ids) == 3
        site.interrupt(rc, by_launcher=True)
    site.timed("stop")
    assert agents() == before, "directories on the other hosts"
    logs = sorted((site.profile / "log").glob("ipengine-*.log"))
    assert len(logs) == 3, "the ends of the logs have come here"
    assert "Completed registration" in logs[0].read_text()
    site.assert_nothing_left()


def test_a_lost_connection_ends_nothing(over_ssh: Site) -> None:
    site = over_ssh
    before = agents()
    engines = settings(site, '"hosts": ["host1", "host1"]')
    process = site.foreground_ready("-n", "2", "--engines=ssh", f"--engine-settings={engines}")
    config = site.env["SSH_CONFIG"].encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            if words[0] == b"ssh" and config in words and b"host1" in words:
                os.kill(int(path.parent.name), signal.SIGKILL)
        except OSError:
            continue
    site.wait_for_output("its engines go on", process)
    with site.client() as rc:
        assert rc[:].apply_async(int).get(timeout=30) == [0, 0]
    process.terminate()
    assert process.wait(60) == 0
    assert agents() == before
    site.assert_nothing_left()


def test_killed_ipcluster_and_controller_on_another_host(over_ssh: Site) -> None:
    site = over_ssh
    before = agents()
    controller = settings(site, '"hostname": "host1"')
    engines = settings(site, '"engines": {"host2": 1}')
    site.timed(
        "start",
        "--daemonize",
        "-n",
        "1",
        "--controller=SSH",
        f"--controller-settings={controller}",
        "--engines=ssh",
        f"--engine-settings={engines}",
    )
    os.kill(site.cluster()["ipyfleet"]["ipcluster"]["pid"], signal.SIGKILL)
    with site.client() as rc:
        assert rc[:].apply_async(int).get(timeout=30) == [0]
    site.timed("stop")
    wait_until(lambda: agents() == before, "directories on the other hosts", timeout=10)
    site.assert_nothing_left()


def test_proxy(over_ssh: Site) -> None:
    site = over_ssh
    before = agents()
    proxy = settings(site, '"hostname": "host1"')
    site.timed(
        "start", "--daemonize", "-n", "2", "--engines=sshproxy", f"--engine-settings={proxy}"
    )
    with site.client() as rc:
        assert rc[:].apply_async(int).get(timeout=30) == [0, 0]
    site.timed("stop")
    assert agents() == before
    site.assert_nothing_left()


def test_a_host_that_refuses(over_ssh: Site) -> None:
    site = over_ssh
    begin = time.monotonic()
    engines = settings(site, '"ssh_cmd": ["ssh"], "engines": {"nobody@host1": 1}')
    done = site.run("start", "-n", "1", "--engines=ssh", f"--engine-settings={engines}")
    assert done.returncode == 1
    assert "ssh to nobody@host1 ended" in done.stderr
    assert "Permission denied" in done.stderr
    assert time.monotonic() - begin < 30
    site.assert_nothing_left()
