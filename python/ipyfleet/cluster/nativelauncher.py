"""The part of launcher classes that hands the work to a launcher in C++."""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

import asyncio
import copy
import os
import re
import signal as signals
import threading
import time
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any, cast

from traitlets import Integer, Unicode
from traitlets.config import LoggingConfigurable

from . import native, profiles, watch
from .launcher import NotRunning, ProcessStateError, last_lines

if TYPE_CHECKING:
    from .._native import Launcher

__all__ = ["NativeLauncher"]

_STOP_STEP_S = 0.005
_OUTPUT_BYTES_MAX = 4 * 1024 * 1024
_REGISTERED = re.compile(r"Completed registration with id (\d+)")


def _read_end(path: str) -> str:
    """Return a log, of a large one the end."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _OUTPUT_BYTES_MAX))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _holders(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a launcher's state that tell of a process each."""
    engines = [each for each in (state.get("engines") or {}).values() if isinstance(each, dict)]
    return [each for each in (state, *engines) if each.get("pid", -1) > 0]


def _processes(state: dict[str, Any]) -> dict[int, int]:
    return {each["pid"]: each.get("start", 0) for each in _holders(state)}


def _with_start_ticks(state: dict[str, Any], known: dict[str, int]) -> dict[str, Any]:
    """Return a state with start times that stood elsewhere in the file."""
    state = copy.deepcopy(state)
    for each in _holders(state):
        if "start" not in each and str(each["pid"]) in known:
            each["start"] = known[str(each["pid"])]
    return state


class NativeLauncher(LoggingConfigurable):
    """What a class needs besides `BaseLauncher` (ours or ipyparallel's) to be done in C++.

    `native_name` is the name of the launcher in C++. All configurable traits that differ from their
    defaults go there under their names.
    """

    native_name = "local"
    not_running: type[Exception] = NotRunning
    stop_seconds_until_kill = Integer(
        5, config=True, help="Seconds between asking a process to end and killing it."
    )
    poll_seconds = Integer(30, config=True, help="Here nothing polls: the end is seen at once.")
    pid = Integer(-1).tag(to_dict=True)
    output_file = Unicode().tag(to_dict=True)

    # Traits that only this side needs.
    _own_traits = frozenset({"connection_info_timeout", "restart", "fork"})

    # Given by the other base of each class.
    state: Any
    identifier: Any
    stop_data: Any
    work_dir: Any
    profile_dir: Any
    cluster_id: Any
    environment: Any
    start_data: Any
    stop_timeout: Any
    output_limit: Any
    notify_start: Any
    notify_stop: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._native: Launcher | None = None
        self._native_lock = threading.RLock()
        self.exits: dict[int, dict[str, Any]] = {}
        self._state_version = 0
        self._asyncio_loop: asyncio.AbstractEventLoop | None = None
        super().__init__(*args, **kwargs)

    @property
    def role(self) -> str:
        """The role in C++: "controller" or "engines"."""
        return "controller" if hasattr(self, "controller_cmd") else "engines"

    @property
    def abbreviation(self) -> str:
        """The name of this class in cluster files."""
        return self.native_name

    def settings(self) -> dict[str, Any]:
        """Return the configurable traits that are not as usual."""
        given: dict[str, Any] = {}
        value: Any
        usual: Any
        for name in self.traits(config=True):
            if name in self._own_traits:
                continue
            value = getattr(self, name)
            if isinstance(value, re.Pattern):
                value = value.pattern
            usual = self.trait_defaults(name)
            if isinstance(usual, re.Pattern):
                usual = usual.pattern
            if value != usual and not (value in ("", [], {}) and not usual):
                given[name] = value
        return given

    def native_options(self) -> dict[str, Any]:
        """Return what the launcher in C++ is made with."""
        settings = self.settings()
        command = settings.pop(f"{self.role.removesuffix('s')}_cmd", None)
        arguments = settings.pop(f"{self.role.removesuffix('s')}_args", [])
        usual = native.program("ipcontroller" if self.role == "controller" else "ipengine")
        return {
            "profile_dir": self.profile_dir,
            "cluster_id": self.cluster_id,
            "command": list(command or [usual]),
            "args": [*cast(Any, self).cluster_args, *arguments],
            "work_dir": "" if self.work_dir == "." else self.work_dir,
            "set_id": getattr(self, "engine_set_id", ""),
            "settings": settings,
        }

    # ---- life ---------------------------------------------------------------------------------

    async def start(self, n: int = 1) -> Any:
        """Start it; returns when it was asked for."""
        if self.state != "before":
            raise ProcessStateError(f"this launcher was started before; it is {self.state!r}")
        self._asyncio_loop = asyncio.get_running_loop()
        if self.role == "engines":
            self.n = n
        profiles.make(self.profile_dir)
        with self._native_lock:
            self._native = native.make(self.role, self.native_name, self.native_options())
            try:
                self._native.start(n)
            except BaseException:
                self._native.stop(kill=True)
                raise
        self._started()
        return self.start_data

    def _started(self) -> None:
        pids = self.pids()
        if self.role == "controller" and pids:
            self.pid = pids[0]
        files = self._files()
        if len(files) == 1:
            self.output_file = files[0]
        self.notify_start(self.pid if self.role == "controller" else pids)
        watch.watch(self)

    @property
    def queued(self) -> bool:
        """Whether something waits in a batch system's queue."""
        with self._native_lock:
            return self._native is not None and self._native.queued()

    def signal(self, sig: int, index: int | None = None) -> None:
        """Send a signal, to all engines of a set or to the one with a number in it."""
        if self._native is not None and self.state == "running":
            with self._native_lock:
                if not self._native.can_signal(int(sig), index):
                    raise NotImplementedError(
                        f"{type(self).__name__} cannot send signal {int(sig)};"
                        " Client.send_signal can, by way of the controller"
                    )
                self._native.signal(int(sig), index)

    async def stop(self, index: int | None = None) -> None:
        """End it, or one engine of a set; returns when that has ended."""
        if self._native is None or self.state != "running":
            return
        with self._native_lock:
            self._native.stop(False, index)
            # A batch system or another host takes its time.
            grace = max(float(self.stop_seconds_until_kill), self._native.stop_grace())
        if await self._wait_stopped(grace, index):
            return
        self.log.warning(
            "%s still runs %g seconds after it was told to end: killing it",
            self.identifier,
            grace,
        )
        with self._native_lock:
            self._native.stop(True, index)
        if not await self._wait_stopped(self.stop_timeout, index):
            raise TimeoutError(f"{self.identifier} does not end")

    async def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""
        if not await self._wait_stopped(timeout):
            raise TimeoutError(f"{self.identifier} did not end in {timeout} seconds")

    async def _wait_stopped(self, seconds: float | None, index: int | None = None) -> bool:
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            if not self.look() or (index is not None and index in self.exits):
                return True
            if end is not None and time.monotonic() >= end:
                return False
            await asyncio.sleep(_STOP_STEP_S)

    def poll(self) -> Any:
        """Return None while it runs, else its exit status."""
        self.look()
        if self.state != "after":
            return None
        return (self.stop_data or {}).get("exit_code", "unknown")

    # ---- watching: also called from the watching thread ---------------------------------------

    def pids(self) -> list[int]:
        """Return the ids of the processes that run."""
        with self._native_lock:
            if self._native is None:
                return []
            return list(_processes(self._native.state()))

    def step(self) -> float:
        """Look after the processes, and return after how many seconds to do so again."""
        with self._native_lock:
            return self._native.poll_step() if self._native is not None else 60.0

    def look(self) -> bool:
        """Note what has ended; False when nothing is left."""
        with self._native_lock:
            if self._native is None or self.state != "running":
                return False
            exits = list(self._native.poll())
            running = self._native.running()
            warnings = self._native.warnings()
            version = self._native.state_version()
            for each in exits:
                code = -each["signal"] if each["signal"] else each["exit_code"]
                self.exits[each["index"]] = {
                    "exit_code": code,
                    "pid": each["pid"],
                    "identifier": str(each["index"]),
                    **({"detail": each["detail"]} if each["detail"] else {}),
                }
        for text in warnings:
            self.log.warning("%s", text)
        for each in exits:
            self._call(self._one_ended, each["index"])
        if running and version != self._state_version:
            self._state_version = version
            update = getattr(self.parent, "update_cluster_file", None)
            if update is not None:  # a job id has come, which others need to stop it
                self._call(lambda _: update(), None)
        if not running:
            self._call(self.notify_stop, self._make_stop_data())
        return running

    def _call(self, function: Any, argument: Any) -> None:
        loop = self._asyncio_loop
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if loop is None or here is loop or not loop.is_running():
            function(argument)
            return
        try:
            loop.call_soon_threadsafe(function, argument)
        except RuntimeError:  # closed meanwhile
            function(argument)

    def _one_ended(self, index: int) -> None:
        """Hook: one engine of a set has ended."""
        data = self.exits[index]
        if self.role == "engines" and data["exit_code"]:
            self.log.warning(
                "Engine %s of set %s ended: %s%s",
                index,
                getattr(self, "engine_set_id", ""),
                exit_text(data["exit_code"]),
                f" ({data['detail']})" if data.get("detail") else "",
            )
        for callback in getattr(self, "engine_callbacks", ()):
            callback(index, data)

    def _make_stop_data(self) -> dict[str, Any]:
        codes = [each["exit_code"] for each in self.exits.values()]
        code = next((each for each in codes if each), codes[0] if codes else None)
        data: dict[str, Any] = {
            "exit_code": code,
            "pid": self.pid,
            "identifier": self.identifier,
        }
        if self.role == "engines":
            data["engines"] = {str(index): each for index, each in self.exits.items()}
        return data

    # ---- output -------------------------------------------------------------------------------

    def _files(self) -> list[str]:
        with self._native_lock:
            return list(self._native.output_files()) if self._native is not None else []

    def engine_ids(self) -> dict[int, int]:
        """Return the engines' ids by their number in the set, as far as their logs tell."""
        found: dict[int, int] = {}
        for index, path in enumerate(self._files()):
            if index in self.exits or "fork-server" in path:
                continue
            ids = _REGISTERED.findall(_read_end(path))
            if ids:
                found[index] = int(ids[-1])
        return found

    def get_output(self, remove: bool = False) -> str:
        """Return what it has written; of a set, engine by engine. The logs are kept."""
        files = self._files()
        if self.role == "controller":
            return "".join(_read_end(path) for path in files)
        parts: list[str] = []
        for index, path in enumerate(files):
            text = _read_end(path)
            if text and "fork-server" not in path:
                shown = last_lines(text, self.output_limit) if self.output_limit else text
                parts.append(f"Output for engine {index}\n{indent(shown, '  ')}")
        return "\n".join(parts)

    def log_of_failure(self) -> str:
        """Return the end of the log of the first engine that has ended with a failure."""
        files = self._files()
        for index, data in self.exits.items():
            if data["exit_code"] and index < len(files):
                return last_lines(_read_end(files[index]), 20).rstrip()
        return last_lines(_read_end(files[0]), 20).rstrip() if files else ""

    # ---- cluster files ------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` needs."""
        with self._native_lock:
            state = self._native.state() if self._native is not None else None
        if not state:
            return {**super().to_dict()}  # pyright: ignore[reportAttributeAccessIssue]
        return {**state, "state": self.state}

    def start_ticks(self) -> dict[int, int]:
        """Return the start times of all processes by pid."""
        with self._native_lock:
            return _processes(self._native.state()) if self._native is not None else {}

    @classmethod
    def from_dict(cls, d: dict[str, Any], **kwargs: Any) -> Any:
        """Return a launcher that goes on with what another one has started."""
        start_ticks = kwargs.pop("start_ticks", {})
        self = super().from_dict(d, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            self._native = native.restore(
                self.role, self.native_name, _with_start_ticks(d, start_ticks)
            )
        except LookupError as gone:
            raise cls.not_running(str(gone)) from None
        self.state = "before"
        self._started()
        return self


def exit_text(code: Any) -> str:
    """Return an exit status in words."""
    if isinstance(code, int) and code < 0:
        try:
            return f"killed by {signals.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return "end unknown" if code is None else f"exit status {code}"
