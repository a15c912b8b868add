"""Clients behind a real OpenSSH server on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ipyfleet
import pytest

from .conftest import StackFactory
from .pairings import A, C, Pairing
from .polling import wait_until
from .sshd import PASSPHRASE, PASSWORD, PASSWORD_USER, SSHD, Sshd
from .stack import Stack

pytestmark = [
    pytest.mark.pairings(A, C, why="what is tunnelled makes no difference to the controller"),
    pytest.mark.skipif(SSHD is None, reason="no sshd; on Debian: apt-get install openssh-server"),
]


@pytest.fixture
def sshd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "sshd", passwords=getattr(request, "param", False))
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("PATH", f"{server.directory}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield server
    try:
        wait_until(lambda: not tunnels(temporary), "no ssh is left", 5)
        assert list(temporary.iterdir()) == []
    finally:
        server.stop()


def can_mount() -> bool:
    """Whether this process may have mounts of its own."""
    trial = ["unshare", "--mount", "--propagation=private", "true"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(trial, capture_output=True).returncode == 0
    )


def tunnels(temporary: Path) -> list[int]:
    """Pids of the ssh processes whose sockets are in this directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if arguments[0].endswith(b"ssh") and bytes(temporary) in b"\0".join(arguments):
                found.append(int(entry.name))
    return found


def local_sockets(temporary: Path) -> list[Path]:
    return sorted(temporary.glob("ipf-ssh-*/port-*"))


def test_a_client_works_through_one_ssh(stack: Stack, pairing: Pairing, sshd: Sshd) -> None:
    temporary = Path(os.environ["TMPDIR"])
    file = stack.connection_file("client")
    with ipyfleet.Client(file, sshserver=sshd.server, sshkey=str(sshd.key)) as rc:
        assert len(tunnels(temporary)) == 1
        assert len(local_sockets(temporary)) == 7
        assert local_sockets(temporary)[0].parent.stat().st_mode & 0o077 == 0
        assert len(set(rc[:].apply_sync(os.getpid))) == len(rc.ids)
        assert rc.load_balanced_view().map_sync(abs, [-1, -2]) == [1, 2]
        assert rc[0].apply_sync(len, b"x" * 3_000_000) == 3_000_000
        done = rc[0].execute("print('hello')", silent=False)
        done.wait_for_output(20)
        assert done.stdout == "hello\n"


@pytest.mark.pairings(C, why="once is enough")
def test_an_encrypted_controller_behind_ssh(make_stack: StackFactory, sshd: Sshd) -> None:
    stack = make_stack()
    stack.start_controller("--enable-curve")
    stack.start_engines(1)
    file = stack.connection_file("client")
    with ipyfleet.Client(file, sshserver=sshd.server, sshkey=str(sshd.key)) as rc:
        wait_until(lambda: rc.ids == [0], "the engine")
        assert rc[0].apply_sync(len, b"x" * 300_000) == 300_000
        assert rc.load_balanced_view().map_sync(abs, [-1, -2]) == [1, 2]


def test_a_lost_ssh_is_started_again(stack: Stack, pairing: Pairing, sshd: Sshd) -> None:
    temporary = Path(os.environ["TMPDIR"])
    with ipyfleet.Client(
        stack.connection_file("client"), sshserver=sshd.server, sshkey=str(sshd.key)
    ) as rc:
        (old,) = tunnels(temporary)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: old not in tunnels(temporary), "the old ssh is gone", 10)
        assert rc[:].apply_async(len, "ab").get(30) == [2] * len(rc.ids)
        assert tunnels(temporary) != [old]


def test_ssh_ends_with_its_client(stack: Stack, pairing: Pairing, sshd: Sshd) -> None:
    temporary = Path(os.environ["TMPDIR"])
    program = (
        "import ipyfleet, sys, time\n"
        "rc = ipyfleet.Client(sys.argv[1], sshserver=sys.argv[2], sshkey=sys.argv[3])\n"
        "print(len(rc.ids), flush=True)\n"
        "time.sleep(60)\n"
    )
    arguments = [str(stack.connection_file("client")), sshd.server, str(sshd.key)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert int(child.stdout.readline()) > 0
        assert len(tunnels(temporary)) == 1
        child.kill()
        child.wait(10)
        wait_until(lambda: not tunnels(temporary), "its ssh has ended", 10)
    # Nobody was there to remove them.
    for left in temporary.glob("ipf-ssh-*"):
        for path in left.iterdir():
            path.unlink()
        left.rmdir()


def test_the_file_names_the_server(
    stack: Stack, pairing: Pairing, sshd: Sshd, tmp_path: Path
) -> None:
    temporary = Path(os.environ["TMPDIR"])
    info = stack.connection("client") | {"ssh": "relay"}
    file = tmp_path / "client.json"
    file.write_text(json.dumps(info))
    with ipyfleet.Client(file) as rc:  # the controller is on this machine: no need
        assert tunnels(temporary) == []
        assert rc[0].apply_sync(len, "ab") == 2
    file.write_text(json.dumps(info | {"location": "somewhere.invalid"}))
    with ipyfleet.Client(file) as rc:
        assert len(tunnels(temporary)) == 1
        assert rc[0].apply_sync(len, "ab") == 2


def test_keys_and_passwords(stack: Stack, pairing: Pairing, sshd: Sshd) -> None:
    file = stack.connection_file("client")
    temporary = Path(os.environ["TMPDIR"])
    with pytest.raises(PermissionError, match=r"no ssh tunnel by way of .*Permission denied"):
        ipyfleet.Client(file, sshserver=sshd.server, sshkey=str(sshd.strange_key))
    with pytest.raises(PermissionError, match="Permission denied"):
        ipyfleet.Client(file, sshserver=sshd.server, sshkey=str(sshd.locked_key), password="wrong")
    with ipyfleet.Client(
        file, sshserver=sshd.server, sshkey=str(sshd.locked_key), password=PASSPHRASE
    ) as rc:
        assert rc[0].apply_sync(len, "ab") == 2
        wait_until(lambda: not list(temporary.glob("*/secret")), "the password is gone", 5)
    with pytest.raises(ConnectionError, match="no ssh tunnel"):
        ipyfleet.Client(file, sshserver="127.0.0.1:1")
    with pytest.raises(ValueError, match="cannot be an ssh server"):
        ipyfleet.Client(file, sshserver="-oProxyCommand=true")


@pytest.mark.pairings(C, why="once is enough")
@pytest.mark.skipif(
    os.geteuid() != 0 or not can_mount(), reason="a user for one server needs root and mounts"
)
@pytest.mark.parametrize("sshd", [True], indirect=True, ids=["passwords"])
def test_logins_by_password(
    stack: Stack, pairing: Pairing, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stack.connection_file("client")
    temporary = Path(os.environ["TMPDIR"])
    server = f"{PASSWORD_USER}@127.0.0.1:{sshd.port}"
    with ipyfleet.Client(file, sshserver=server, password=PASSWORD) as rc:
        assert rc[0].apply_sync(len, "ab") == 2
        wait_until(lambda: not list(temporary.glob("*/secret")), "the password is gone", 5)
        (ssh,) = tunnels(temporary)
        for what in ("cmdline", "environ"):
            assert PASSWORD.encode() not in Path(f"/proc/{ssh}/{what}").read_bytes()
        # Started again, ssh is told the password once more.
        os.kill(ssh, signal.SIGKILL)
        assert rc[0].apply_async(len, "abc").get(30) == 3
    for password in ("wrong", None):
        with pytest.raises(PermissionError, match="Permission denied"):
            ipyfleet.Client(file, sshserver=server, password=password)
    # At a terminal it asks, once, after it has seen that a password is wanted.
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or PASSWORD)
    with ipyfleet.Client(file, sshserver=server) as rc:
        assert rc[0].apply_sync(len, "ab") == 2
    assert asked == [f"SSH password for {server}: "]
