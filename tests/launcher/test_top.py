"""`ipcluster top`: one table, JSON lines, and the live view in a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .harness import alive, wait_until
from .test_real_cluster import RealSandbox, real

__all__ = ["real"]  # the fixture


class Screen:
    """A program in a terminal of its own; knows what stands on the screen."""

    def __init__(self, argv: list[str], env: dict[str, str], rows: int = 24) -> None:
        self.master, self.slave = pty.openpty()
        self.process: subprocess.Popen[str] | None = None
        self.resize(rows, 100)
        self.before = termios.tcgetattr(self.slave)
        self.process = self.running = subprocess.Popen(
            argv,
            env=env | {"TERM": "xterm"},
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.raw = b""

    def resize(self, rows: int, columns: int) -> None:
        """Change the size; the signal goes to the one who has this as controlling terminal."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if self.process:
            self.process.send_signal(signal.SIGWINCH)

    def read(self) -> None:
        """Take what was written meanwhile."""
        while select.select([self.master], [], [], 0)[0]:
            self.raw += os.read(self.master, 65536)

    def frames(self) -> list[list[str]]:
        """Return the lines of each complete picture that was drawn."""
        self.read()
        drawn = self.raw.decode().split("\x1b[H")[1:]
        return [
            re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", frame).replace("\r", "").split("\n")
            for frame in drawn
            if "\x1b[J" in frame
        ]

    def wait_for(self, text: str) -> list[str]:
        """Wait until the newest picture holds a text; return its lines."""

        def seen() -> list[str]:
            frames = self.frames()
            assert self.running.poll() is None, self.raw
            return frames[-1] if frames and any(text in line for line in frames[-1]) else []

        return wait_until(seen, f"{text!r} on the screen")

    def end(self) -> tuple[int, str]:
        """Wait for the end; return status and standard error."""
        _, error = self.running.communicate(timeout=20)
        self.read()
        return self.running.returncode, error

    def assert_restored(self) -> None:
        """The first screen, the cursor and the line editing are back."""
        assert self.raw.endswith(b"\x1b[?25h\x1b[?1049l")
        assert termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        """End what still runs."""
        if self.running.poll() is None:
            self.running.kill()
            self.running.wait()
        if self.running.stderr:
            self.running.stderr.close()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def cluster(real: RealSandbox) -> Iterator[RealSandbox]:
    """Two engines that have done three calls."""
    real.start("-n", "2")
    rc = real.client()
    view = rc.load_balanced_view()
    assert view.map_sync(abs, range(3)) == [0, 1, 2]
    rc.close()
    yield real
    real.run("stop")


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_table_when_the_output_is_no_terminal(cluster: RealSandbox) -> None:
    for arguments in ([], ["--once"]):
        done = cluster.run("top", *arguments)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "engines 2, busy 0" in done.stdout
        assert "controller up 0:00:" in done.stdout
        rows = [line.split() for line in done.stdout.splitlines()]
        assert [row[0] for row in rows[-2:]] == ["0", "1"]
        assert sum(int(row[3]) for row in rows[-2:]) == 3, "finished calls"
        assert all("MiB" in row and re.search(r":\d+$", row[-1]) for row in rows[-2:]), rows


def test_one_table_on_a_terminal_without_a_cursor(cluster: RealSandbox) -> None:
    master, slave = pty.openpty()
    done = subprocess.run(
        cluster.argv("top"),
        env=cluster.env | {"TERM": "dumb"},
        stdout=slave,
        timeout=30,
        check=True,
    )
    assert b"\x1b" not in os.read(master, 65536)
    assert done.returncode == 0
    os.close(master)
    os.close(slave)


def test_json_has_rates_from_the_second_look_on(cluster: RealSandbox) -> None:
    done = cluster.run("top", "--json", "--count=2", "--interval=0.2")
    assert done.returncode == 0, done.stderr
    first, second = json_lines(done.stdout)
    assert first["rates"] is None
    assert second["rates"]["calls"] == 0
    assert second["unassigned"] == 0
    assert second["controller"]["resident_bytes"] > 1 << 20
    assert second["controller"]["queues"]["task"]["finished"] == 3
    assert sum(engine["completed"] for engine in second["engines"]) == 3
    for engine in second["engines"]:
        assert alive(engine["pid"])
        assert engine["resident_bytes"] > 1 << 20
    (only,) = json_lines(cluster.run("top", "--json", "--once").stdout)
    assert only.keys() == first.keys()


def test_work_is_seen(cluster: RealSandbox) -> None:
    rc = cluster.client()
    rc[0].apply_async(time.sleep, 600)

    def engines() -> list[dict[str, Any]]:
        return json_lines(cluster.run("top", "--json", "--once").stdout)[0]["engines"]

    wait_until(lambda: [engine["queue"] for engine in engines()] == [1, 0], "one busy engine")
    rc.close()


def test_terminal_is_redrawn_and_restored(cluster: RealSandbox) -> None:
    screen = Screen(cluster.argv("top", "--interval=0.1"), cluster.env)
    try:
        screen.wait_for("engines 2")
        wait_until(lambda: len(screen.frames()) > 2, "it is redrawn")
        assert b"\x1b[2J" not in screen.raw, "nothing flickers"
        os.write(screen.master, b"q")
        assert screen.end() == (0, "")
        screen.assert_restored()
    finally:
        screen.close()


def test_another_size_is_drawn_at_once(cluster: RealSandbox) -> None:
    screen = Screen(cluster.argv("top", "--interval=600"), cluster.env)
    try:
        screen.wait_for("engines 2")
        screen.resize(12, 60)
        lines = screen.wait_for("and 2 more engines")
        assert len(lines) <= 12
        assert max(map(len, lines)) <= 60
        screen.resize(24, 100)
        wait_until(lambda: "more engines" not in "".join(screen.frames()[-1]), "all are back")
        os.write(screen.master, b"q")
        assert screen.end() == (0, "")
        screen.assert_restored()
    finally:
        screen.close()


@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_c_restores_the_terminal(cluster: RealSandbox, how: str) -> None:
    screen = Screen(cluster.argv("top", "--interval=60"), cluster.env)
    try:
        screen.wait_for("engines 2")
        if how == "key":
            os.write(screen.master, b"\x03")
        else:
            screen.running.send_signal(signal.SIGTERM)
        assert screen.end() == (0, "")
        screen.assert_restored()
    finally:
        screen.close()


def test_controller_that_is_killed_is_told_and_given_up(cluster: RealSandbox) -> None:
    screen = Screen(cluster.argv("top", "--interval=0.1", "--timeout=1"), cluster.env)
    try:
        screen.wait_for("engines 2")
        os.kill(cluster.controller_pid(), signal.SIGKILL)
        screen.wait_for("of 1 s: ")
        status, error = screen.end()
        assert status == 1
        assert error.startswith("ipcluster: the controller does not answer any more: ")
        screen.assert_restored()
    finally:
        screen.close()


def test_frozen_controller_does_not_hold_the_keys(cluster: RealSandbox) -> None:
    screen = Screen(cluster.argv("top", "--interval=0.1", "--timeout=60"), cluster.env)
    pid = cluster.controller_pid()
    try:
        screen.wait_for("engines 2")
        os.kill(pid, signal.SIGSTOP)
        screen.wait_for("of 60 s: no answer yet")
        os.write(screen.master, b"q")
        assert screen.end() == (0, "")
        screen.assert_restored()
    finally:
        os.kill(pid, signal.SIGCONT)
        screen.close()


def test_json_tells_of_a_restarted_controller(real: RealSandbox) -> None:
    real.start("-n", "1")
    with subprocess.Popen(
        real.argv("top", "--json", "--interval=0.1", "--timeout=60"),
        env=real.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as top:
        assert top.stdout
        assert json.loads(top.stdout.readline())["engines"]
        assert real.run("stop").returncode == 0
        while "error" not in json.loads(top.stdout.readline()):
            pass
        real.start("-n", "1")
        while "error" in (seen := json.loads(top.stdout.readline())):
            pass
        assert seen["controller"]["uptime"] < 60
        top.kill()
    assert real.run("stop").returncode == 0


def test_without_a_cluster(tmp_path: Path) -> None:
    box = RealSandbox(tmp_path)
    done = box.run("top", "--once")
    assert done.returncode == 1
    assert done.stderr.startswith("ipcluster: no answer: no cluster is running")
    assert box.run("top", "--interval=0").returncode == 2
    assert not box.profile.exists(), "looking makes nothing"
