"""A controller with engines, each ours or real, in a private directory, watched to the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ipyparallel as ipp

from . import pairings, procs
from .pairings import Kind, Pairing
from .polling import WaitTimeoutError, wait_until

START_TIMEOUT = 40.0
_GRACE: dict[Kind, float] = {"ours": 5.0, "real": 15.0}


def _dies_with_pytest() -> list[str]:
    """Prefix that ends a process when pytest itself is killed and no fixture can stop it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


class StackError(AssertionError):
    """A process of the stack did not do what it should; the message holds its log."""


@dataclass
class Proc:
    """One started process and its log file."""

    name: str
    kind: Kind
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Pid of the process that was started (a nanny's, where there is one)."""
        return self.popen.pid

    def text(self) -> str:
        """Everything that the process has printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait(self, timeout: float) -> int:
        """Exit status, within ``timeout`` seconds."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise StackError(
                f"{self.name} still runs after {timeout:g} s\n{self.text()[-4000:]}"
            ) from None

    def require_alive(self) -> None:
        """Fail when the process has ended."""
        code = self.popen.poll()
        if code is not None:
            raise StackError(f"{self.name} ended with status {code}\n{self.text()[-4000:]}")


@dataclass
class Stack:
    """Controller and engines of one pairing under ``root``; see ``start`` and ``stop``."""

    root: Path
    pairing: Pairing
    cluster_id: str = ""
    procs: list[Proc] = field(default_factory=list)
    clients: list[ipp.Client] = field(default_factory=list)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.profile_dir = self.root / "ipython" / "profile_default"
        for directory in (self.profile_dir, self.root / "tmp", self.root / "cwd"):
            directory.mkdir(parents=True, exist_ok=True)
        self._shared_before = procs.shared_entries()
        self._pids: set[int] = set()
        self._opened: set[Path] = set()
        ACTIVE.append(self)

    # --- where things are ---------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Environment of every process of the stack."""
        drop = ("IPP_", "IPF_", "IPYTHON", "PYTHONSTARTUP", "PYTEST")
        env = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
        return env | {
            "IPYTHONDIR": str(self.root / "ipython"),
            "IPP_PROFILE_DIR": str(self.profile_dir),
            "IPP_CLUSTER_ID": self.cluster_id,
            "IPP_NONINTERACTIVE": "1",
            "HOME": str(self.root),
            "TMPDIR": str(self.root / "tmp"),
            procs.TOKEN_VARIABLE: self.token,
        }

    def connection_file(self, role: str) -> Path:
        """Path of the ``client`` or ``engine`` connection file."""
        middle = f"-{self.cluster_id}" if self.cluster_id else ""
        return self.profile_dir / "security" / f"ipcontroller{middle}-{role}.json"

    def connection(self, role: str) -> dict[str, Any]:
        """Content of a connection file."""
        return json.loads(self.connection_file(role).read_text())

    @property
    def controller(self) -> Proc:
        """The controller that was started last."""
        return [p for p in self.procs if p.name.startswith("controller")][-1]

    @property
    def engines(self) -> list[Proc]:
        """The engine processes in the order they were started."""
        return [p for p in self.procs if p.name.startswith("engine")]

    def processes(self) -> list[procs.ProcInfo]:
        """All living processes of the stack, children included."""
        found = procs.stack_processes(self.token)
        for info in found:
            self._pids.add(info.pid)
            self._opened |= procs.opened_shared_paths(info.pid, self.root)
        return found

    # --- start --------------------------------------------------------------------------

    def spawn(self, name: str, kind: Kind, argv: Sequence[str], **env: str | None) -> Proc:
        """Start a process of this stack, output in ``<name>.log``; ``None`` unsets a variable."""
        environment = self.environment() | env
        log = self.root / f"{name}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*_dies_with_pytest(), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.root / "cwd",
                env={k: v for k, v in environment.items() if v is not None},
                start_new_session=True,
            )
        proc = Proc(name, kind, popen, log)
        self.procs.append(proc)
        self._pids.add(proc.pid)
        return proc

    def start_controller(
        self, *args: str, ping: int = 300, wait: bool = True, prefix: Sequence[str] = ()
    ) -> Proc:
        """Start the controller; with ``wait`` its connection files are there afterwards.

        ``prefix`` stands in front of the command: that of another host, for instance.
        """
        kind = self.pairing.controller
        argv = [*prefix, *pairings.command(kind, "controller"), f"--ping={ping}", *args]
        number = sum(p.name.startswith("controller") for p in self.procs)
        proc = self.spawn(f"controller-{number}", kind, argv)
        if wait:
            self.wait_for_files(proc)
        return proc

    def wait_for_files(self, proc: Proc) -> None:
        """Wait for both connection files."""

        def readable() -> bool:
            proc.require_alive()
            try:
                return all(self.connection(role) for role in ("client", "engine"))
            except (OSError, ValueError):
                return False

        try:
            wait_until(readable, "connection files", START_TIMEOUT)
        except WaitTimeoutError as error:
            raise StackError(f"{error}\n{proc.text()[-4000:]}") from None

    def start_engine(self, *args: str, prefix: Sequence[str] = (), **env: str | None) -> Proc:
        """Start one engine without waiting for it; ``prefix`` as for the controller."""
        kind = self.pairing.engines
        argv = [*prefix, *pairings.command(kind, "engine"), *args]
        return self.spawn(f"engine-{len(self.engines)}", kind, argv, **env)

    def start_engines(self, count: int, *args: str) -> ipp.Client:
        """Start ``count`` engines; returns a client that sees all of them."""
        rc = self.client()
        return self.add_engines(rc, count, *args)

    def add_engines(self, rc: ipp.Client, count: int, *args: str) -> ipp.Client:
        """Start ``count`` more engines and wait until ``rc`` sees them."""
        wanted = len(rc.ids) + count
        started = [self.start_engine(*args) for _ in range(count)]

        def registered() -> bool:
            for proc in started:
                proc.require_alive()
            return len(rc.ids) >= wanted

        try:
            wait_until(registered, f"{wanted} engines in client.ids", START_TIMEOUT)
        except WaitTimeoutError as error:
            raise StackError(f"{error}; ids={rc.ids}\n{self.logs()}") from None
        return rc

    def start(self, engines: int, *args: str, ping: int = 300) -> ipp.Client:
        """Start a controller and ``engines`` engines; returns the first client."""
        self.start_controller(*args, ping=ping)
        return self.start_engines(engines)

    def client(self, timeout: float = 10) -> ipp.Client:
        """A new unmodified ipyparallel client."""
        rc = ipp.Client(str(self.connection_file("client")), timeout=timeout)
        self.clients.append(rc)
        return rc

    # --- end ----------------------------------------------------------------------------

    def kill_controller(self) -> None:
        """As hard as possible, with all its children; another one may be started then."""
        killed = self.controller
        os.killpg(os.getpgid(killed.pid), signal.SIGKILL)
        killed.wait(5)

    def close_clients(self) -> None:
        """Close every client that was made by ``client``."""
        while self.clients:
            self.clients.pop().close(linger=0)

    def stop(self) -> None:
        """Stop all by SIGTERM; fail if anything survives, leaks or refuses to go."""
        self.close_clients()
        self.processes()
        problems = []
        grace = max((_GRACE[p.kind] for p in self.procs), default=1.0)
        controllers = {p.pid for p in self.procs if p.name.startswith("controller")}
        try:
            problems += self._end([p for p in self.procs if p.pid not in controllers])
            if any(p.kind == "real" for p in self.engines):
                # The reference's nanny never ends when the controller goes before it has been told.
                procs.await_none(self.token, grace, controllers)
            problems += self._end([p for p in self.procs if p.pid in controllers])
            survivors = procs.await_none(self.token, grace)
            problems += [f"survived the stop: {info.pid} {info.command}" for info in survivors]
        finally:
            procs.kill_all(self.token)
            for proc in self.procs:
                proc.popen.wait(5)
            ACTIVE.remove(self)
        problems += self._leaks()
        if problems:
            raise StackError("\n".join(problems) + "\n" + self.logs())

    @staticmethod
    def _end(group: Sequence[Proc]) -> list[str]:
        """SIGTERM to every process of ``group`` that runs; what is wrong with the way they end."""
        problems = []
        running = [p for p in group if p.popen.poll() is None]
        for proc in running:
            procs.signal_quietly(proc.pid, signal.SIGTERM)
        for proc in running:
            try:
                proc.wait(_GRACE[proc.kind])
            except StackError as error:
                problems.append(str(error))
        return problems

    def _leaks(self) -> list[str]:
        def found() -> list[str]:
            private = sorted((self.root / "tmp").iterdir())
            shared = procs.leaked_entries(self._shared_before, self._pids, self._opened)
            return [f"left behind: {path}" for path in [*private, *shared]]

        try:
            wait_until(lambda: not found(), "no temporary file left", 2.0, 0.2)
        except WaitTimeoutError:
            return found()
        return []

    def logs(self, limit: int = 3000) -> str:
        """The tails of all logs."""
        return "\n".join(
            f"----- {p.name} ({p.kind}, status {p.popen.poll()}) -----\n{p.text()[-limit:]}"
            for p in self.procs
        )


ACTIVE: list[Stack] = []
