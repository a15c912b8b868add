"""Cluster files shared with ipyparallel, and ipcluster list."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import ipyparallel as ipp
import pytest

from .harness import Sandbox, alive, wait_until


def open_with_ipyparallel(sandbox: Sandbox, cluster_id: str = "") -> ipp.Cluster:
    return ipp.Cluster.from_file(str(sandbox.cluster_file(cluster_id)))


def test_ipyparallel_opens_the_cluster_file(sandbox: Sandbox) -> None:
    sandbox.start("-n", "2", "--cluster-id=shared", "--", "--hwm=0")
    cluster = open_with_ipyparallel(sandbox, "shared")
    assert cluster.cluster_id == "shared"
    assert cluster.profile_dir == str(sandbox.profile)
    assert cluster.n == 2
    assert cluster.controller_args == ["--hwm=0"]
    assert cluster.controller.state == "running"
    (engine_set,) = cluster.engines.values()
    assert engine_set.n == 2
    assert sandbox.run("stop", "shared").returncode == 0


@pytest.mark.parametrize("owner", ["running", "killed"])
def test_stop_after_ipyparallel_has_rewritten_the_file(sandbox: Sandbox, owner: str) -> None:
    sandbox.start("-n", "2")
    ipcluster = sandbox.cluster()["ipyfleet"]["ipcluster"]["pid"]
    open_with_ipyparallel(sandbox)
    assert "ipyfleet" not in sandbox.cluster(), "ipyparallel keeps only what it knows"
    assert sandbox.run("start", "-n", "1").returncode == 10
    if owner == "killed":
        os.kill(ipcluster, signal.SIGKILL)
        wait_until(lambda: not alive(ipcluster), "ipcluster is dead")
        assert sandbox.run("start", "-n", "1").returncode == 10
    assert sandbox.run("list").stdout.split()[-3:] == ["True", "2", "Local"]
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()


def test_list_as_text(sandbox: Sandbox) -> None:
    header = ["PROFILE", "CLUSTER", "ID", "RUNNING", "ENGINES", "LAUNCHER"]
    assert [line.split() for line in sandbox.run("list").stdout.splitlines()] == [header]
    sandbox.start("-n", "2")
    sandbox.start("-n", "1", "--cluster-id=b")
    lines = [line.split() for line in sandbox.run("list").stdout.splitlines()]
    assert lines == [
        header,
        ["test", "''", "True", "2", "Local"],
        ["test", "b", "True", "1", "Local"],
    ]
    assert sandbox.run("stop", "--all").returncode == 0
    assert [line.split() for line in sandbox.run("list").stdout.splitlines()] == [header]


def test_list_of_all_profiles(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    argv = [word for word in sandbox.argv("list") if not word.startswith("--profile-dir")]
    sandbox.argv = lambda command, *args: [*argv, *args]  # type: ignore[method-assign]
    assert "test" in sandbox.run("list").stdout.split()
    del sandbox.argv  # type: ignore[method-assign]
    assert sandbox.run("stop").returncode == 0


def test_list_as_json_is_a_list_of_cluster_files(sandbox: Sandbox) -> None:
    assert json.loads(sandbox.run("list", "-o", "json").stdout) == []
    sandbox.start("-n", "2")
    sandbox.start("-n", "1", "--cluster-id=b")
    listed = json.loads(sandbox.run("list", "--output=json").stdout)
    assert listed == [sandbox.cluster(), sandbox.cluster("b")]
    assert sandbox.run("stop", "--all").returncode == 0


def test_list_as_json_leaves_out_what_does_not_run(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    text = sandbox.cluster_file().read_text()
    assert sandbox.run("stop").returncode == 0
    sandbox.cluster_file().write_text(text)
    (listed,) = json.loads(sandbox.run("list", "-o", "json").stdout)
    assert "controller" not in listed
    assert listed["engines"]["sets"] == {}
    assert sandbox.run("stop").returncode == 11


def test_damaged_cluster_file_is_named_and_replaced(sandbox: Sandbox) -> None:
    sandbox.profile.mkdir(mode=0o700)
    (sandbox.profile / "security").mkdir(mode=0o700)
    sandbox.cluster_file().write_text('{"cluster": ')
    for command in ("list", "stop"):
        done = sandbox.run(command)
        assert str(sandbox.cluster_file()) in done.stderr
    sandbox.start("-n", "1")
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()


def test_symbolic_link_as_profile_directory(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    sandbox.profile.symlink_to(tmp_path / "real")
    sandbox.start("-n", "1")
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()
