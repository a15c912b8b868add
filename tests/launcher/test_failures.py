"""ipcluster when something goes wrong: clear reasons, exit codes, nothing left running."""

from __future__ import annotations

import os
import signal
import time

import pytest

from .harness import Sandbox, alive, wait_until


def assert_one_line(stderr: str, *parts: str) -> None:
    """The first error line starts with the program's name and has all parts."""
    line = next(line for line in stderr.splitlines() if line.startswith("ipcluster: "))
    for part in parts:
        assert part in stderr, stderr
    assert line


@pytest.mark.parametrize("mode", [["--daemonize"], []])
def test_controller_that_fails_is_reported_with_its_log(sandbox: Sandbox, mode: list[str]) -> None:
    sandbox.env["FAKE_CONTROLLER"] = "exit=3"
    done = sandbox.run("start", "-n", "2", *mode)
    assert done.returncode == 1
    assert_one_line(done.stderr, "the controller", "exit status 3", "cannot bind the port")
    sandbox.assert_nothing_left()


def test_missing_program_is_named(sandbox: Sandbox) -> None:
    for option in ("--controller-cmd=no-such-program", "--engine-cmd=/no/such/engine --flag"):
        done = sandbox.run("start", "--daemonize", "-n", "2", option)
        assert done.returncode == 1
        assert_one_line(done.stderr, option.partition("=")[2].split()[0])
        sandbox.assert_nothing_left()


@pytest.mark.parametrize("mode", [["--daemonize"], []])
def test_all_engines_failing_tears_the_cluster_down(sandbox: Sandbox, mode: list[str]) -> None:
    sandbox.env["FAKE_ENGINE"] = "die"
    begin = time.monotonic()
    done = sandbox.run("start", "-n", "3", *mode)
    assert done.returncode == 1
    assert_one_line(done.stderr, "exit status 7", "no such module")
    assert time.monotonic() - begin < 5
    sandbox.assert_nothing_left()


def test_one_failing_engine_fails_a_daemonized_start(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "die@1"
    done = sandbox.run("start", "--daemonize", "-n", "3")
    assert done.returncode == 1
    assert_one_line(done.stderr, "exit status 7", "fake engine 1: no such module")
    sandbox.assert_nothing_left()


def test_one_failing_engine_is_only_reported_in_the_foreground(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "die@1"
    process = sandbox.foreground_ready("-n", "3")
    text = sandbox.output.read_text()
    assert "died: exit status 7" in text
    assert "2 of 3 engines registered" in text
    assert len(sandbox.engine_pids()) == 2
    process.terminate()
    assert process.wait(10) == 0


def test_engine_that_never_registers_is_a_bounded_wait(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "mute@0"
    done = sandbox.run("start", "--daemonize", "-n", "2", "--engine-timeout=0.8")
    assert done.returncode == 1
    assert_one_line(done.stderr, "only 1 of 2 engines registered within 0.80 s")
    sandbox.assert_nothing_left()


def test_killed_engine_is_reported_and_leaves_the_cluster_file(sandbox: Sandbox) -> None:
    process = sandbox.foreground_ready("-n", "3")
    pids = sandbox.engine_pids()
    os.kill(pids[1], signal.SIGKILL)
    text = sandbox.wait_for_output("died:", process)
    assert f"Engine 1 (pid {pids[1]}, id " in text
    assert "killed by signal 9 (SIGKILL)" in text
    assert "Completed registration with id" in text, "the end of its log is shown"
    wait_until(lambda: set(sandbox.engine_pids()) == {0, 2}, "the file has two engines left")
    process.terminate()
    assert process.wait(10) == 0
    sandbox.assert_nothing_left()


@pytest.mark.parametrize("victims", [1, 2])
def test_all_engines_killed_early_ends_the_cluster(sandbox: Sandbox, victims: int) -> None:
    process = sandbox.foreground_ready("-n", str(victims))
    for pid in sandbox.engine_pids().values():
        os.kill(pid, signal.SIGKILL)
    assert process.wait(10) == 1
    assert f"all {victims} engines ended early" in sandbox.output.read_text()
    sandbox.assert_nothing_left()


def test_engines_that_are_shut_down_by_a_client_are_no_failure(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "exit-after=0.4"
    process = sandbox.foreground_ready("-n", "2")
    text = sandbox.wait_for_output("No engine of this cluster is left", process)
    assert "ended: exit status 0" in text
    assert process.poll() is None
    process.terminate()
    assert process.wait(10) == 0


def test_killed_controller_ends_the_cluster(sandbox: Sandbox) -> None:
    process = sandbox.foreground_ready("-n", "2")
    os.kill(sandbox.controller_pid(), signal.SIGKILL)
    assert process.wait(10) == 1
    assert "the controller" in sandbox.output.read_text()
    assert "killed by signal 9 (SIGKILL)" in sandbox.output.read_text()
    sandbox.assert_nothing_left()


def test_controller_shut_down_by_a_client_ends_the_cluster_cleanly(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_CONTROLLER"] = "exit-after=1.5"
    process = sandbox.foreground_ready("-n", "2")
    assert process.wait(10) == 0
    assert "ended: exit status 0" in sandbox.output.read_text()
    sandbox.assert_nothing_left()


def test_stale_files_do_not_prevent_a_start(sandbox: Sandbox) -> None:
    process = sandbox.foreground_ready("-n", "2")
    pids = [process.pid, sandbox.controller_pid(), *sandbox.engine_pids().values()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids), "all are dead")
    assert len(sandbox.state_files()) == 4
    listed = sandbox.run("list")
    assert listed.stdout.splitlines()[1].split()[2:4] == ["False", "0"]
    sandbox.start("-n", "2")
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()


def test_foreign_controller_is_not_overwritten(sandbox: Sandbox) -> None:
    sandbox.start("-n", "0")
    # As if it had been started by hand: no cluster file and no ipcluster.
    owner = sandbox.cluster()["ipyfleet"]["ipcluster"]["pid"]
    controller = sandbox.controller_pid()
    os.kill(owner, signal.SIGKILL)
    wait_until(lambda: not alive(owner), "ipcluster is dead")
    sandbox.cluster_file().unlink()
    client_file = sandbox.profile / "security" / "ipcontroller-client.json"
    before = client_file.read_text()
    done = sandbox.run("start", "--daemonize", "-n", "1")
    assert done.returncode == 10
    assert_one_line(done.stderr, str(client_file))
    assert client_file.read_text() == before
    os.kill(controller, signal.SIGTERM)
    wait_until(lambda: not alive(controller), "the controller ends")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ["--engines=teleport"],
            "unknown engine launcher 'teleport'; known are: batch, htcondor, local",
        ),
        (
            ["--controller=teleport"],
            "unknown controller launcher 'teleport'; known are: batch, htcondor, local",
        ),
        (["-n", "four"], "four"),
        (["-n", "-1"], "-1"),
        (["--cluster-id=../up"], "'../up' is not allowed"),
        (["--no-such-option"], "--no-such-option"),
        (["--log-level=loud"], "loud"),
        (["--controller-cmd='open"], "quote"),
    ],
)
def test_wrong_options(sandbox: Sandbox, args: list[str], text: str) -> None:
    done = sandbox.run("start", *args)
    assert done.returncode == 2
    assert_one_line(done.stderr, text)
    sandbox.assert_nothing_left()


@pytest.mark.parametrize("name", ["LOCAL", "Local", "LocalEngineSetLauncher"])
def test_launcher_names_of_ipyparallel(sandbox: Sandbox, name: str) -> None:
    sandbox.start("-n", "1", f"--engines={name}")
    assert sandbox.run("stop").returncode == 0
