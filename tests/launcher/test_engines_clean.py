"""ipcluster engines and clean."""

from __future__ import annotations

import os
import signal

from .harness import Sandbox, alive, processes_of, wait_until


def sets(sandbox: Sandbox) -> list[int]:
    """How many engines each set of the cluster file has."""
    return sorted(each["n"] for each in sandbox.cluster()["engines"]["sets"].values())


def test_added_engines_are_listed_and_end_with_the_cluster(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    added = sandbox.run("engines", "-n", "2", "--daemonize")
    assert added.returncode == 0, added.stderr
    assert sets(sandbox) == [1, 2]
    assert sandbox.run("list").stdout.splitlines()[1].split()[2:4] == ["True", "3"]
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()


def test_added_engines_go_when_ipcluster_is_interrupted(sandbox: Sandbox) -> None:
    process = sandbox.foreground_ready("-n", "1")
    assert sandbox.run("engines", "-n", "1", "--daemonize").returncode == 0
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    sandbox.assert_nothing_left()


def test_added_engines_stop_alone(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    before = set(processes_of(sandbox.profile))
    assert sandbox.run("engines", "-n", "2", "--daemonize").returncode == 0
    fresh = set(processes_of(sandbox.profile)) - before
    (adder,) = [pid for pid in fresh if "ipcluster" in processes_of(sandbox.profile)[pid]]
    os.kill(adder, signal.SIGTERM)
    wait_until(lambda: not any(alive(pid) for pid in fresh), "the added engines are gone")
    assert sets(sandbox) == [1]
    assert sandbox.run("stop").returncode == 0


def test_engines_that_fail_tell_why(sandbox: Sandbox) -> None:
    sandbox.fake = False
    done = sandbox.run("engines", "-n", "2", "--engine-cmd=sh -c 'echo no licence; exit 3'")
    assert done.returncode == 1
    assert "all added engines ended" in done.stderr
    assert "no licence" in done.stderr


def test_clean_removes_what_a_killed_cluster_has_left(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    refused = sandbox.run("clean")
    assert refused.returncode == 1
    assert "already running" in refused.stderr
    for pid in processes_of(sandbox.profile):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes_of(sandbox.profile), sandbox.left_text())
    assert sandbox.state_files() != []
    done = sandbox.run("clean")
    assert done.returncode == 0, done.stderr
    assert sandbox.state_files() == []
    assert list((sandbox.profile / "log").iterdir()) == []
    assert sandbox.run("clean", "--all").returncode == 0, "nothing is there"


def test_clean_by_force_stops_first(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1", "--cluster-id=a")
    sandbox.start("-n", "1", "--cluster-id=b")
    done = sandbox.run("clean", "--all", "--force")
    assert done.returncode == 0, done.stderr
    sandbox.assert_nothing_left()
