"""Engines that reach their controller through a real OpenSSH server on loopback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import StackFactory
from .pairings import C
from .polling import wait_until
from .sshd import SSHD, Sshd
from .stack import Proc, Stack
from .test_python_choice import make_conda
from .test_ssh_tunnels import tunnels

pytestmark = [
    pytest.mark.pairings(C, why="the tunnel is that of our engine"),
    pytest.mark.skipif(SSHD is None, reason="no sshd; on Debian: apt-get install openssh-server"),
]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "sshd")
    yield server
    server.stop()


def start_engine(stack: Stack, sshd: Sshd, *arguments: str) -> Proc:
    path = f"{sshd.directory}/bin:{os.environ['PATH']}"
    return stack.start_engine(f"--ssh={sshd.server}", *arguments, PATH=path, SSH_AUTH_SOCK=None)


def test_an_engine_works_through_ssh(make_stack: StackFactory, sshd: Sshd) -> None:
    stack = make_stack()
    stack.start_controller("--enable-curve")
    temporary = stack.root / "tmp"
    rc = stack.client()
    engine = start_engine(stack, sshd, f"--sshkey={sshd.key}", "--restart=on-failure")
    wait_until(lambda: rc.ids == [0], "the engine", 20)
    (ssh,) = tunnels(temporary)
    pid = rc[0].apply_sync(os.getpid)
    assert rc.load_balanced_view().map_sync(abs, [-1, -2]) == [1, 2]
    done = rc[0].execute("print('hello')", silent=False)
    done.wait_for_output(20)
    assert done.stdout == "hello\n"
    # A lost tunnel is made again; the engine and its namespace stay.
    os.kill(ssh, signal.SIGKILL)
    assert rc[0].apply_async(os.getpid).get(30) == pid
    # Its nanny tells the hub at once, through the tunnel, and starts another one there.
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: engine.text().count("Completed registration") == 2, "another engine", 20)
    wait_until(lambda: rc.ids == [0], "it has the number", 20)
    assert rc[0].apply_async(os.getpid).get(30) != pid
    os.kill(engine.pid, signal.SIGTERM)
    engine.wait(10)
    wait_until(lambda: not tunnels(temporary), "no ssh is left", 5)
    assert not list(temporary.glob("ipf-ssh-*"))


def test_an_engine_of_another_python_finds_the_tunnel(make_stack: StackFactory, sshd: Sshd) -> None:
    stack = make_stack()
    stack.start_controller()
    rc = stack.client()
    python = make_conda(stack.root)
    engine = start_engine(stack, sshd, f"--sshkey={sshd.key}", f"--python={python}")
    wait_until(lambda: rc.ids == [0], "the engine", 20)
    assert len(tunnels(stack.root / "tmp")) == 1
    assert "ipf-ssh-" in engine.text()
    assert rc[0].apply_async(os.getenv, "IPF_SSH_TUNNEL").get(20) is None, "user code sees nothing"


def test_what_is_wrong_is_said(make_stack: StackFactory, sshd: Sshd) -> None:
    stack = make_stack()
    stack.start_controller()
    engine = start_engine(stack, sshd, f"--sshkey={sshd.strange_key}")
    assert engine.wait(20) == 1
    assert "no ssh tunnel by way of" in engine.text()
    assert "Permission denied" in engine.text()
    assert not list((stack.root / "tmp").glob("ipf-ssh-*"))
