"""ipcluster stop and the ends of a foreground cluster."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import termios
import time

import pytest

from .harness import Sandbox, alive, processes_of, wait_until


def test_stop_is_quick_and_complete(sandbox: Sandbox) -> None:
    sandbox.start("-n", "4")
    assert len(sandbox.state_files()) == 4
    begin = time.monotonic()
    done = sandbox.run("stop")
    duration = time.monotonic() - begin
    assert done.returncode == 0
    assert processes_of(sandbox.profile) == {}, "all are gone when the command returns"
    assert sandbox.state_files() == []
    assert duration < 1.0


def test_stop_twice_and_without_any_cluster(sandbox: Sandbox) -> None:
    assert sandbox.run("stop").returncode == 11
    sandbox.start("-n", "1")
    assert sandbox.run("stop").returncode == 0
    again = sandbox.run("stop")
    assert again.returncode == 11
    assert again.stderr.startswith("ipcluster: no cluster '' runs")
    assert sandbox.run("stop", "--all").returncode == 0


def test_two_stops_at_once(sandbox: Sandbox) -> None:
    sandbox.start("-n", "2")
    stops = [
        subprocess.Popen(
            sandbox.argv("stop"),
            env=sandbox.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    codes = {stop.wait(20) for stop in stops}
    assert codes <= {0, 11}
    assert 0 in codes
    sandbox.assert_nothing_left()


def test_stop_while_starting(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "mute"
    with subprocess.Popen(
        sandbox.argv("start", "--daemonize", "-n", "3"),
        env=sandbox.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as start:
        wait_until(lambda: len(sandbox.notes("engine")) == 3, "three engines run")
        assert sandbox.run("stop").returncode == 0
        assert start.stderr is not None
        assert "stopped before all engines were registered" in start.stderr.read()
        assert start.wait(10) == 1
    sandbox.assert_nothing_left()


def test_stop_before_the_controller_is_ready(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_CONTROLLER"] = "silent"
    process = sandbox.foreground("-n", "2")
    sandbox.wait_for_output("Starting Controller", process)
    wait_until(lambda: sandbox.notes("controller"), "the controller runs")
    assert sandbox.run("stop").returncode == 0
    assert process.wait(10) == 0
    assert sandbox.notes("engine") == []
    sandbox.assert_nothing_left()


def test_interrupted_daemonized_start_stops_the_cluster(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "mute"
    with subprocess.Popen(
        sandbox.argv("start", "--daemonize", "-n", "2"),
        env=sandbox.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as start:
        wait_until(lambda: len(sandbox.notes("engine")) == 2, "two engines run")
        start.send_signal(signal.SIGINT)
        assert start.wait(10) != 0
    sandbox.assert_nothing_left()


def test_ten_times_ctrl_c_in_a_terminal(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_CONTROLLER"] = "slow=0.1"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(sandbox.root)
        os.execve(sandbox.argv("start")[0], sandbox.argv("start", "-n", "2"), sandbox.env)
    attributes = termios.tcgetattr(terminal)
    attributes[3] |= termios.NOFLSH  # else the terminal itself drops output at each Ctrl-C
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    shown = b""
    while b"ipp.Client(" not in shown:
        shown += os.read(terminal, 4096)
    with contextlib.suppress(OSError):  # the terminal closes with its last process
        for _ in range(10):
            os.write(terminal, b"\x03")
            time.sleep(0.002)
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, shown.decode()
    assert b"Cluster stopped" in shown
    assert shown.count(b"Received SIGINT") == 1
    sandbox.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_end_a_foreground_cluster(sandbox: Sandbox, number: signal.Signals) -> None:
    process = sandbox.foreground_ready("-n", "2")
    process.send_signal(number)
    assert process.wait(10) == 0
    sandbox.assert_nothing_left()


def test_processes_survive_the_death_of_ipcluster_and_stop_finds_them(sandbox: Sandbox) -> None:
    process = sandbox.foreground_ready("-n", "3")
    children = [sandbox.controller_pid(), *sandbox.engine_pids().values()]
    process.kill()
    process.wait()
    assert all(alive(pid) for pid in children)
    assert sandbox.run("start", "-n", "1").returncode == 10
    done = sandbox.run("stop")
    assert done.returncode == 0
    assert not any(alive(pid) for pid in children)
    sandbox.assert_nothing_left()


@pytest.mark.parametrize("owner", ["running", "killed"])
def test_processes_that_ignore_sigterm_are_killed(sandbox: Sandbox, owner: str) -> None:
    sandbox.env["FAKE_ENGINE"] = "ignore-term@0 child@1"
    sandbox.env["FAKE_CONTROLLER"] = "ignore-term"
    sandbox.start("-n", "2")
    if owner == "killed":
        os.kill(sandbox.cluster()["ipyfleet"]["ipcluster"]["pid"], signal.SIGKILL)
    begin = time.monotonic()
    done = sandbox.run("stop")
    assert done.returncode == 0
    assert 4 < time.monotonic() - begin < 40  # on a busy machine; not for ever
    assert processes_of(sandbox.profile) == {}
    sandbox.assert_nothing_left()


def test_stopped_ipcluster_does_not_hold_up_a_stop_for_ever(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    os.kill(sandbox.cluster()["ipyfleet"]["ipcluster"]["pid"], signal.SIGSTOP)
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()


def test_signal_kill_ends_everything_at_once(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "ignore-term child"
    sandbox.start("-n", "2")
    begin = time.monotonic()
    assert sandbox.run("stop", "--signal=KILL").returncode == 0
    assert time.monotonic() - begin < 3
    sandbox.assert_nothing_left()


def test_unknown_signal(sandbox: Sandbox) -> None:
    done = sandbox.run("stop", "--signal=NOPE")
    assert done.returncode == 2
    assert "'NOPE' is no signal" in done.stderr


def test_reused_pid_is_left_alone(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    text = sandbox.cluster_file().read_text()
    old = sandbox.controller_pid()
    assert sandbox.run("stop").returncode == 0
    with subprocess.Popen(["sleep", "60"]) as bystander:
        # The pid of the old controller now belongs to somebody else.
        sandbox.cluster_file().write_text(text.replace(str(old), str(bystander.pid)))
        assert sandbox.run("stop").returncode == 11
        assert bystander.poll() is None
        bystander.kill()
    sandbox.assert_nothing_left()


def test_zombies_count_as_gone(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    text = sandbox.cluster_file().read_text()
    old = sandbox.controller_pid()
    assert sandbox.run("stop").returncode == 0
    zombie = os.posix_spawn("/bin/true", ["true"], {"IPP_PROFILE_DIR": str(sandbox.profile)})
    try:
        wait_until(lambda: not alive(zombie), "the process is a zombie")
        sandbox.cluster_file().write_text(text.replace(str(old), str(zombie)))
        assert sandbox.run("stop", timeout=5).returncode == 11
    finally:
        os.waitpid(zombie, 0)


def test_cluster_of_another_machine_is_left_alone(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    text = sandbox.cluster_file().read_text()
    machine = sandbox.cluster()["ipyfleet"]["machine"]
    assert sandbox.run("stop").returncode == 0
    changed = text.replace(machine["boot"], "another-boot")
    sandbox.cluster_file().write_text(changed.replace(machine["host"], "otherhost"))
    for command in ("start", "stop"):
        done = sandbox.run(command)
        assert done.returncode in {1, 10}
        assert "otherhost" in done.stderr
    assert "on otherhost" in sandbox.run("list").stdout
    # The same host after a reboot: nothing of it can run any more.
    sandbox.cluster_file().write_text(changed)
    sandbox.start("-n", "1")
    assert sandbox.run("stop").returncode == 0
