"""CURVE encryption: our controller, engines and clients, each with unmodified peers."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import ipyfleet
import ipyparallel as ipp
import numpy as np
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from .conftest import StackFactory
from .pairings import C, Pairing, our_binary
from .polling import wait_until
from .stack import Stack
from .test_cpp_client import PROBE

ENABLE = "--IPController.enable_curve=True"


def start(
    make_stack: StackFactory, *arguments: str, prefix: Sequence[str] = ()
) -> tuple[Stack, ipp.Client]:
    stack = make_stack()
    stack.start_controller(*([] if prefix else [ENABLE]), *arguments, prefix=prefix)
    return stack, stack.start_engines(2)


def test_everybody_understands_everybody(make_stack: StackFactory, pairing: Pairing) -> None:
    stack, theirs = start(make_stack, prefix=["env", "IPP_ENABLE_CURVE=1"])
    info = stack.connection("client")
    assert len(info["curve_serverkey"]) == 40
    assert stack.connection("engine")["curve_serverkey"] == info["curve_serverkey"]
    array = np.arange(300_000.0)
    with ipyfleet.Client(stack.connection_file("client")) as ours:
        for rc in (theirs, ours):
            wait_until(lambda rc=rc: len(rc.ids) == 2, "two engines")
            assert len(set(rc[:].apply_sync(os.getpid))) == 2
            assert rc.load_balanced_view().map_sync(abs, [-1, -2]) == [1, 2]
            assert (rc[0].apply_sync(np.negative, array) == -array).all()
            done = rc[0].execute("print('hello')", silent=False)
            done.get(20)
            done.wait_for_output(20)
            assert done.stdout == "hello\n"
            assert rc.broadcast_view().apply_sync(len, "abc") == [3, 3]
    if PROBE.exists():
        theirs_too = [] if pairing.our_engines else ["theirs"]
        probe = [PROBE, stack.connection_file("client"), *theirs_too]
        done = subprocess.run(probe, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.pairings(C, why="our controller refuses")
def test_strangers_are_refused(make_stack: StackFactory, pairing: Pairing, tmp_path: Path) -> None:
    stack, rc = start(make_stack)
    own = stack.connection("client")
    stranger = tmp_path / "file.json"
    for key in (None, "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"):
        stranger.write_text(json.dumps(own | {"curve_serverkey": key}))
        with pytest.raises(TimeoutError):
            ipyfleet.Client(str(stranger), timeout=1)
    stranger.write_text(json.dumps(own | {"curve_serverkey": "short"}))
    with pytest.raises(ValueError, match="40 characters"):
        ipyfleet.Client(str(stranger), timeout=1)
    assert rc[:].apply_sync(len, "ab") == [2, 2]


@pytest.mark.pairings(C, why="our controller keeps its key")
@pytest.mark.parametrize("kept", ["--restore", "--reuse"])
def test_the_key_outlives_the_controller_and_stays_secret(
    make_stack: StackFactory, pairing: Pairing, kept: str
) -> None:
    stack, rc = start(make_stack, kept)
    key_file = stack.profile_dir / "security" / "ipcontroller-curve.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    secret = key_file.read_text().strip()
    first = stack.connection("client")["curve_serverkey"]
    stack.kill_controller()
    stack.start_controller(ENABLE, kept)
    assert stack.connection("client")["curve_serverkey"] == first
    with ipyfleet.Client(stack.connection_file("client")) as ours:
        wait_until(lambda: len(ours.ids) == 2, "the engines are back")
        assert ours[:].apply_sync(len, "ab") == [2, 2]
    rc.close()
    for process in stack.processes():
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert secret.encode() not in arguments
    for written in stack.root.rglob("*"):
        if written.is_file() and written != key_file:
            assert secret.encode() not in written.read_bytes(), written


@pytest.mark.pairings(C, why="once is enough")
@pytest.mark.filterwarnings("ignore:.*unclosed:ResourceWarning")
def test_a_frontend_attaches_to_an_engine_of_an_encrypted_cluster(
    make_stack: StackFactory, pairing: Pairing
) -> None:
    """Kernel ports are Jupyter's: on this machine, signed, not encrypted."""
    stack, rc = start(make_stack)
    file = stack.root / "kernel.json"
    rc[0].apply_sync(ipp.bind_kernel, connection_file=str(file))
    frontend = BlockingKernelClient(connection_file=str(file))
    frontend.load_connection_file()
    assert frontend.ip == "127.0.0.1"
    frontend.start_channels()
    try:
        frontend.wait_for_ready(timeout=20)
        reply = frontend.execute_interactive("shared = 6 * 7", timeout=20, allow_stdin=False)
        assert reply["content"]["status"] == "ok"
    finally:
        frontend.stop_channels()
    assert rc[0].pull("shared", block=True) == 42


@pytest.mark.pairings(C, why="our ipcluster")
def test_engines_of_the_fork_server_encrypt(make_stack: StackFactory, pairing: Pairing) -> None:
    stack = make_stack()
    ipcluster = our_binary("ipcluster")
    environment = stack.environment() | {
        "IPP_ENABLE_CURVE": "1",
        "PATH": f"{ipcluster.parent}:{os.environ['PATH']}",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [ipcluster, *arguments], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("start", "--n=2", "--daemonize")
    try:
        assert len(stack.connection("client")["curve_serverkey"]) == 40
        with ipyfleet.Client(str(stack.connection_file("client"))) as rc:
            wait_until(lambda: len(rc.ids) == 2, "two engines")
            assert rc[:].apply_sync(len, "ab") == [2, 2]
            parents = rc[:].apply_sync(os.getppid)
            assert len(set(parents)) == 1, "both are forks of one process"
    finally:
        run("stop")
        wait_until(lambda: not stack.processes(), "everything has ended")
