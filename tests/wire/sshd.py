"""A private OpenSSH server on loopback, with keys of its own, and an ``ssh`` that knows it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

from .polling import wait_until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PASSPHRASE = "correct horse"
# A user whom only a server made with ``passwords=True`` knows.
PASSWORD_USER, PASSWORD = "ipf-tester", "battery staple"


class Sshd:
    """Runs until `stop`. ``directory / "bin"`` holds the ``ssh`` to put first on PATH.

    Attributes
    ----------
    server
        ``user@host:port``, for programs.
    key, locked_key, strange_key
        Private keys: accepted; accepted, with `PASSPHRASE`; not accepted.

    With ``passwords`` also `PASSWORD_USER` may log in, by `PASSWORD`. The user is in the server's
    own copies of the system's user files, so root is needed, and nothing is left behind.
    """

    def __init__(self, directory: Path, *, passwords: bool = False) -> None:
        self.directory = directory
        self.passwords = passwords
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = f"{getpass.getuser()}@127.0.0.1:{self.port}"
        host_key = self._make_key("host", "")
        self.key = self._make_key("id", "")
        self.locked_key = self._make_key("locked", PASSPHRASE)
        self.strange_key = self._make_key("strange", "")
        public = [path.with_suffix(".pub").read_text() for path in (self.key, self.locked_key)]
        (directory / "authorized_keys").write_text("".join(public))
        known = host_key.with_suffix(".pub").read_text().split()
        (directory / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {known[0]} {known[1]}\n")
        self._write_ssh()
        self._start(host_key)

    def _make_key(self, name: str, passphrase: str) -> Path:
        path = self.directory / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    def _write_ssh(self) -> None:
        config = self.directory / "ssh_config"
        config.write_text(
            f"Host relay\n  HostName 127.0.0.1\n  Port {self.port}\n  IdentityFile {self.key}\n"
            f"Host *\n  IdentitiesOnly yes\n  StrictHostKeyChecking yes\n"
            f"  UserKnownHostsFile {self.directory}/known_hosts\n"
        )
        program = self.directory / "bin" / "ssh"
        program.parent.mkdir()
        # ssh takes its configuration from the home of the password file, whatever $HOME says.
        program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F "{config}" "$@"\n')
        program.chmod(0o755)

    def _start(self, host_key: Path) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = self.directory / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\n"
            f"AuthorizedKeysFile {self.directory}/authorized_keys\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication {'yes' if self.passwords else 'no'}\n"
            "KbdInteractiveAuthentication no\nMaxStartups 100\n"
            "PermitRootLogin prohibit-password\n"
        )
        self._log = (self.directory / "log").open("wb")
        command = [SSHD or "sshd", "-D", "-e", "-f", str(config)]
        if self.passwords:
            command = self._with_user(command)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

        def listening() -> bool:
            assert self._process.poll() is None, self.text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listening, "sshd listens", 10)

    def _with_user(self, command: list[str]) -> list[str]:
        """The command in a mount namespace where the user files have one user more."""
        hashing = ["openssl", "passwd", "-6", "-stdin"]
        hashed = subprocess.run(
            hashing, input=PASSWORD, capture_output=True, text=True, check=True
        ).stdout.strip()
        number = 64_321
        more = {
            "passwd": f"{PASSWORD_USER}:x:{number}:{number}::/nonexistent:/bin/false\n",
            "shadow": f"{PASSWORD_USER}:{hashed}:19000:0:99999:7:::\n",
        }
        mounts = []
        for name, line in more.items():
            copy = self.directory / name
            copy.touch(mode=0o600 if name == "shadow" else 0o644)
            copy.write_text(Path("/etc", name).read_text() + line)
            mounts.append(f'mount --bind "{copy}" /etc/{name}')
        script = " && ".join([*mounts, 'exec "$@"'])
        return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", *command]

    def text(self) -> str:
        """What the server has logged."""
        return (self.directory / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait(10)
        self._log.close()
