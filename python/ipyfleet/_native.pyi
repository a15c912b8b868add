"""The C++ client of ipyfleet. Calls raise ValueError, FileNotFoundError, TimeoutError,
ConnectionError (closed) or RuntimeError (too many requests, or a forked child).

A timeout is in seconds; None or a negative number means no limit. Whatever waits lets other threads
run and can be interrupted with Ctrl-C.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from typing_extensions import Buffer

class FrameView:
    """The memory of a received frame, seen through the buffer protocol."""

class Request:
    """A request that was sent, and its result; usable from any thread."""

    @property
    def number(self) -> int: ...
    @property
    def msg_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def submitted(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def done(self) -> bool: ...
    @property
    def output_done(self) -> bool: ...
    @property
    def status(self) -> Literal["pending", "ok", "error", "aborted"]: ...
    @property
    def local_error(self) -> tuple[str, str]: ...
    @property
    def header(self) -> bytes: ...
    @property
    def metadata(self) -> bytes: ...
    @property
    def content(self) -> bytes: ...
    def buffers(self) -> list[bytes | memoryview]: ...
    def outputs(
        self, first: int = 0
    ) -> tuple[list[tuple[str, bytes, list[bytes | memoryview]]], bool]: ...
    def wait(self, timeout: float | None = None) -> bool: ...
    def wait_for_output(self, timeout: float | None = None) -> bool: ...

class Completions:
    """Tells which of a set of requests finish, in the order in which they do.

    One thread may wait; any thread may add requests.
    """

    def __init__(self, requests: Sequence[Request] = (), output: bool = False) -> None: ...
    def add(self, request: Request, index: int, output: bool = False) -> None: ...
    def next(self, timeout: float | None = None) -> list[int]: ...
    @property
    def open(self) -> int: ...

class Client:
    """A connection to a controller; usable from any thread, but not in a forked child."""

    def __init__(
        self,
        *,
        connection_text: str = "",
        file: str = "",
        profile: str = "",
        profile_dir: str = "",
        ipython_dir: str = "",
        cluster_id: str = "",
        ssh_server: str = "",
        ssh_key: str = "",
        ssh_password: str = "",
        timeout: float | None = 10.0,
        outstanding_max: int = 4000000,
    ) -> None: ...
    def engines(self) -> dict[int, str]: ...
    @property
    def engines_version(self) -> int: ...
    def wait_for_engines(self, count: int, timeout: float | None = None) -> bool: ...
    def send(
        self,
        route: Literal["engine", "balanced", "control", "hub"],
        type: str,
        engine_uuid: str = "",
        metadata: str = "{}",
        content: str = "{}",
        buffers: Sequence[Buffer] = (),
    ) -> Request: ...
    def apply(self, engine_uuid: str, metadata: str, buffers: Sequence[Buffer]) -> Request: ...
    def broadcast(
        self,
        engine_uuids: Sequence[str],
        type: str,
        metadata: str,
        content: str = "{}",
        buffers: Sequence[Buffer] = (),
    ) -> list[Request]: ...
    def forget(self, msg_id: str) -> bool: ...
    def find(self, msg_id: str) -> Request | None: ...
    def outstanding(self) -> list[str]: ...
    @property
    def outstanding_count(self) -> int: ...
    def history(self) -> list[str]: ...
    @property
    def session(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...

def prune_logs(profile_dir: str, files_max: int = ..., bytes_max: int = ...) -> int:
    """Remove the oldest logs of a profile that nothing needs, and return how many."""

class LaunchExit(TypedDict):
    """One started program that has ended, or could not be started."""

    index: int
    pid: int  # 0 where it ran on another machine, or never ran
    exit_code: int | None  # None: ended by a signal, or not known
    signal: int
    text: str  # "exit status 3", "killed by signal 9 (SIGKILL)", ...
    output_file: str
    engines: int  # how many engines it stood for (all of an MPI job)
    detail: str  # what the backend says about it, e.g. the answer of sbatch

class Launcher:
    """Starts and ends one controller or one set of engines. No call waits for what it starts or
    stops; the owner calls poll() at least every poll_step() seconds.

    Raises ValueError (unknown name, option or setting, wrong type), LookupError (no such engine;
    restore: nothing of it runs), NotImplementedError (the backend cannot), OSError.

    Options of make: profile_dir, cluster_id, command, args, work_dir, environment (name -> text or
    None), set_id, fork_server, fork_server_args, and settings: traits of ipyparallel's launcher
    class of that name, without the class, e.g. {"queue": "long", "namespace": {...}}. restore takes
    the state of a cluster file, ours or ipyparallel's; profile_dir and cluster_id come from it.
    """

    @staticmethod
    def make(
        role: Literal["controller", "engines"], name: str, options: dict[str, Any] = ...
    ) -> Launcher: ...
    @staticmethod
    def restore(
        role: Literal["controller", "engines"],
        name: str,
        state: dict[str, Any],
        options: dict[str, Any] = ...,
    ) -> Launcher: ...
    @staticmethod
    def names(role: Literal["controller", "engines"]) -> list[str]: ...
    @staticmethod
    def short_name(role: Literal["controller", "engines"], name: str) -> str: ...
    def class_name(self) -> str: ...
    def start(self, n: int = 1) -> None: ...
    def restart(self, index: int) -> None:
        """Start an engine again that has ended."""
    def poll(self) -> list[LaunchExit]: ...
    def poll_step(self) -> float: ...
    def warnings(self) -> list[str]:
        """What should be logged, once: a scheduler that does not answer, a signal refused."""
    def queued(self) -> bool:
        """Something waits in a batch system's queue, so nobody should wonder at its silence."""
    def stop_grace(self) -> float:
        """Seconds that a graceful stop may take before stop(kill=True)."""
    def running(self) -> bool: ...
    def can_signal(self, number: int, index: int | None = None) -> bool:
        """Whether signal() can; if not, send it by way of the controller (Client.send_signal)."""
    def signal(self, number: int, index: int | None = None) -> None: ...
    def stop(self, kill: bool = False, index: int | None = None) -> None: ...
    def state(self) -> dict[str, Any]:
        """For the cluster file; empty when nothing runs. Processes have pid and start time."""
    def state_version(self) -> int:
        """Grows when poll() has learned something that belongs in the cluster file."""
    def output_files(self) -> list[str]: ...

def wait_all(
    requests: Sequence[Request], timeout: float | None = None, output: bool = False
) -> bool: ...
def count_done(requests: Sequence[Request]) -> int: ...
def parse_date(text: str) -> int | None: ...
