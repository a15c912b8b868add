"""Runs ipcluster in a profile directory of its own and looks at what it leaves behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).parent
T = TypeVar("T")
# For a job of more ranks than processors, as root, in a container.
MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}


def wait_until(condition: Callable[[], T], what: str, timeout: float = 10.0) -> T:
    """Poll ``condition`` until it is truthy; fails with ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.01)
    return value


def bin_dir() -> Path:
    """Where the programs under test are: $IPF_BIN_DIR, else next to this Python.

    Fails when the ipcluster there is ipyparallel's script of the same name.
    """
    directory = Path(os.environ.get("IPF_BIN_DIR", Path(sys.executable).parent)).absolute()
    with (directory / "ipcluster").open("rb") as program:
        magic = program.read(4)
    assert magic == b"\x7fELF", f"{directory}/ipcluster is not ours; set IPF_BIN_DIR"
    return directory


def alive(pid: int) -> bool:
    """Whether ``pid`` runs; a zombie counts as gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def processes_of(profile_dir: Path) -> dict[int, str]:
    """Command lines of all living processes that name the profile directory, by pid."""
    needle = str(profile_dir).encode()
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environ = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            command = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        named = b"IPP_PROFILE_DIR=" + needle in environ or b"--profile-dir=" + needle in command
        if named and alive(int(entry)):
            found[int(entry)] = b" ".join(command).decode(errors="replace").strip()
    return found


class Sandbox:
    """One profile directory and the ipcluster commands that use it."""

    fake = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.profile = root / "profile_test"
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("IPP_", "IPYTHONDIR", "FAKE_"))
        }
        self.env["IPYTHONDIR"] = str(root)
        self.env["HOME"] = str(root)
        self._running: list[subprocess.Popen[str]] = []

    def argv(self, command: str, *args: str) -> list[str]:
        """The command line for an ipcluster subcommand in this profile."""
        line = [str(bin_dir() / "ipcluster"), command, f"--profile-dir={self.profile}"]
        if command in ("start", "engines") and self.fake:
            python = f"{shlex.quote(sys.executable)} -S -E"
            if command == "start":
                line.append(
                    f"--controller-cmd={python} {shlex.quote(str(HERE / 'fake_controller.py'))}"
                )
            line.append(f"--engine-cmd={python} {shlex.quote(str(HERE / 'fake_engine.py'))}")
        return [*line, *args]

    def run(
        self, command: str, *args: str, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a subcommand to its end."""
        return subprocess.run(
            self.argv(command, *args),
            env=self.env,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Start in the background; must succeed."""
        done = self.run("start", "--daemonize", *args)
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    def foreground(self, *args: str) -> subprocess.Popen[str]:
        """Start in the foreground with the output in ``self.output``; does not wait."""
        with self.output.open("w") as output:
            process = subprocess.Popen(
                self.argv("start", *args),
                env=self.env,
                cwd=self.root,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def foreground_ready(self, *args: str) -> subprocess.Popen[str]:
        """Start in the foreground and wait for the lines that connect a client."""
        process = self.foreground(*args)
        self.wait_for_output("ipp.Client(", process)
        return process

    @property
    def output(self) -> Path:
        """File with the output of the last foreground command."""
        return self.root / "foreground.log"

    def wait_for_output(
        self, text: str, process: subprocess.Popen[str], timeout: float = 30
    ) -> str:
        """Wait until the foreground command has written ``text``; returns all it wrote."""

        def seen() -> str:
            output = self.output.read_text()
            assert text in output or process.poll() is None, output
            return output if text in output else ""

        return wait_until(seen, f"{text!r} in the output", timeout)

    def cluster(self, cluster_id: str = "") -> dict[str, Any]:
        """The content of the cluster file."""
        return json.loads(self.cluster_file(cluster_id).read_text())

    def cluster_file(self, cluster_id: str = "") -> Path:
        """The path of the cluster file."""
        return self.profile / "security" / f"cluster-{cluster_id}.json"

    def engine_pids(self, cluster_id: str = "") -> dict[int, int]:
        """Pid by number of the engine."""
        (engine_set,) = self.cluster(cluster_id)["engines"]["sets"].values()
        return {int(i): engine["pid"] for i, engine in engine_set["engines"].items()}

    def controller_pid(self) -> int:
        """The pid of the controller."""
        return self.cluster()["controller"]["state"]["pid"]

    def notes(self, role: str) -> list[dict[str, Any]]:
        """What the fake processes wrote down about how they were started."""
        return [json.loads(file.read_text()) for file in self.profile.glob(f"{role}-*.note")]

    def state_files(self) -> list[str]:
        """Everything in ``security`` and ``pid``; nothing may be left there after a stop."""
        return sorted(
            file.name for name in ("security", "pid") for file in (self.profile / name).glob("*")
        )

    def assert_nothing_left(self) -> None:
        """No process runs and no state file lies about."""
        wait_until(lambda: not processes_of(self.profile), self.left_text())
        assert self.state_files() == []

    def left_text(self) -> str:
        """For the message of a failed wait."""
        return f"all processes gone, left are {processes_of(self.profile)}"

    def kill_everything(self) -> None:
        """End what a failed test left."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
        for pid in processes_of(self.profile):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
