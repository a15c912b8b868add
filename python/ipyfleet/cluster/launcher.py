"""Launchers as classes with traits: what subclasses and configuration files build on.

A launcher starts, watches and ends one controller or one set of engines. The classes are called as
in ipyparallel, and have the same traits, so that ``c.SlurmLauncher.account = ...`` means the same.
The work is done by the launchers in C++ (`.native`); a subclass may do it itself by overriding
`start`, `stop` and `signal`.
"""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

import asyncio
import inspect
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Dict, Float, Integer, List, Unicode, default
from traitlets.config import LoggingConfigurable

from . import native

__all__ = [
    "BaseLauncher",
    "ControllerLauncher",
    "EngineLauncher",
    "LauncherError",
    "NotRunning",
    "ProcessStateError",
    "UnknownStatus",
]

# Between two looks for the files of a controller.
_FILES_STEP_S = 0.005
_LOG_LINES = 20

StopCallback = Callable[[Any], object]


class LauncherError(Exception):
    """Something is wrong with what a launcher is to start or has started."""


class ProcessStateError(LauncherError):
    """The launcher has been started before, or not yet."""


class UnknownStatus(LauncherError):  # noqa: N818 - as in ipyparallel
    """Nobody can tell whether it runs."""


class NotRunning(LauncherError):  # noqa: N818
    """Nothing of what another process had started runs any more."""


def last_lines(text: str, count: int) -> str:
    """Return the last lines of a text."""
    return "".join(text.splitlines(True)[-count:])


class BaseLauncher(LoggingConfigurable):
    """Starts, watches and ends one thing."""

    stop_timeout = Integer(
        60, config=True, help="Seconds to wait for the end of a process after it was killed."
    )
    output_limit = Integer(
        100, config=True, help="Lines of output to show when something has ended with a failure."
    )
    environment = Dict(config=True, help="Variables for the environment of what is started.")

    work_dir = Unicode(".")
    name = Unicode("process")
    start_data = AnyTrait()
    stop_data = AnyTrait()
    identifier = Unicode(help="Name of what is started, for logs.")
    loop = AnyTrait(help="The event loop in which it was started.")
    profile_dir = Unicode("").tag(to_dict=True)
    cluster_id = Unicode("").tag(to_dict=True)
    state = Unicode("before").tag(to_dict=True)
    stop_callbacks = List()

    @default("identifier")
    def _default_identifier(self) -> str:
        parts = (self.name, self.cluster_id, getattr(self, "engine_set_id", ""), str(os.getpid()))
        return "-".join(part for part in parts if part)

    @default("loop")
    def _default_loop(self) -> Any:
        return asyncio.get_running_loop()

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` needs."""
        return {name: getattr(self, name) for name in self.traits(to_dict=True)}

    @classmethod
    def from_dict(
        cls, d: dict[str, Any], *, config: Any = None, parent: Any = None, **kwargs: Any
    ) -> BaseLauncher:
        """Return a launcher that goes on with what another one has started.

        Raises
        ------
        NotRunning
            If nothing of it runs.
        """
        launcher = cls(config=config, parent=parent, **kwargs)
        for name in launcher.traits(to_dict=True):
            if name in d:
                setattr(launcher, name, d[name])
        return launcher

    @property
    def cluster_args(self) -> list[str]:
        """Arguments that all programs of the cluster get."""
        return []

    @property
    def connection_files(self) -> dict[str, str]:
        """The paths of the connection files for "client" and "engine"."""
        prefix = "-".join(part for part in ("ipcontroller", self.cluster_id) if part)
        security = Path(self.profile_dir) / "security"
        return {kind: str(security / f"{prefix}-{kind}.json") for kind in ("client", "engine")}

    @property
    def args(self) -> list[str]:
        """The program and its arguments."""
        return self.find_args()

    def find_args(self) -> list[str]:
        """Return the program and its arguments; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not say what to start")

    @property
    def arg_str(self) -> str:
        """The program and its arguments as one text."""
        return " ".join(self.args)

    @property
    def cluster_env(self) -> dict[str, str]:
        """The variables that tell a program which cluster it belongs to."""
        return {"IPP_CLUSTER_ID": self.cluster_id, "IPP_PROFILE_DIR": self.profile_dir}

    def get_env(self) -> dict[str, str]:
        """Return all variables to set for what is started."""
        return {**self.cluster_env, **self.environment}

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.state == "running"

    async def start(self) -> Any:
        """Start it: call `notify_start` when it was asked for, and `notify_stop` at its end."""
        raise NotImplementedError(f"{type(self).__name__} cannot start anything")

    async def stop(self) -> Any:
        """End it; returns when it has ended and everything is cleaned up."""
        raise NotImplementedError(f"{type(self).__name__} cannot stop anything")

    def signal(self, sig: int) -> Any:
        """Send a signal."""
        raise NotImplementedError(f"{type(self).__name__} cannot send signals")

    async def join(self, timeout: float | None = None) -> None:
        """Wait for the end; TimeoutError if it does not come in time."""
        raise NotImplementedError(f"{type(self).__name__} cannot wait")

    def poll(self) -> Any:
        """Return None while it runs, else its exit status."""
        return None if self.state != "after" else (self.stop_data or {}).get("exit_code", "unknown")

    def on_stop(self, f: StopCallback) -> Any:
        """Have a function called with `stop_data` when it has ended, at once if it has."""
        if self.state == "after":
            return f(self.stop_data)
        self.stop_callbacks.append(f)
        return None

    def notify_start(self, data: Any) -> Any:
        """Note that it runs."""
        self.log.debug("%s started: %s", type(self).__name__, data)
        self.start_data = data
        self.state = "running"
        return data

    def notify_stop(self, data: Any) -> Any:
        """Note that it has ended, and tell everybody who wants to know."""
        if self.state == "after":
            return data
        self.log.debug("%s stopped: %s", type(self).__name__, data)
        self.stop_data = data
        self.state = "after"
        self._log_output(data)
        for callback in list(self.stop_callbacks):
            callback(data)
        return data

    def get_output(self, remove: bool = False) -> str:
        """Return what it has written; with `remove`, its file may go."""
        return ""

    def _log_output(self, stop_data: Any = None) -> None:
        failed = bool(stop_data and stop_data.get("exit_code"))
        if not failed or not self.output_limit:
            return
        output = last_lines(self.get_output(), self.output_limit)
        if output:
            self.log.warning("Output for %s:\n%s", self.identifier, output)


class ControllerLauncher(BaseLauncher):
    """Starts a controller."""

    name = Unicode("ipcontroller")
    controller_cmd = List(config=True, help="The program that is the controller, and arguments.")
    controller_args = List(Unicode(), config=True, help="More arguments for the controller.")
    connection_info_timeout = Float(
        60, config=True, help="Seconds to wait for the controller's connection files."
    )

    @default("controller_cmd")
    def _default_controller_cmd(self) -> list[str]:
        return [native.program("ipcontroller")]

    def find_args(self) -> list[str]:
        """Return the command line of the controller."""
        return [*self.controller_cmd, *self.cluster_args, *self.controller_args]

    async def get_connection_info(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the connection files and return their contents, "client" and "engine".

        Raises
        ------
        TimeoutError
            If they are not there in time (a negative number means no limit).
        RuntimeError
            If the controller ends instead; the text has the last lines of its log.
        """
        limit = self.connection_info_timeout if timeout is None else timeout
        end = None if limit < 0 else time.monotonic() + limit
        while True:
            missing, found = self._read_connection_files()
            if not missing:
                return found
            status = self.poll()
            if inspect.isawaitable(status):
                status = await status
            if status is not None:
                raise RuntimeError(
                    f"the controller ended ({_as_text(status)}) before it wrote {missing}"
                    + with_log(self)
                )
            if end is not None and time.monotonic() >= end:
                raise TimeoutError(
                    f"the controller did not write {missing} within {limit:g} seconds"
                    + with_log(self)
                )
            await asyncio.sleep(_FILES_STEP_S)

    def _read_connection_files(self) -> tuple[str, dict[str, Any]]:
        found: dict[str, Any] = {}
        for kind, path in self.connection_files.items():
            try:
                found[kind] = json.loads(Path(path).read_text())
            except (OSError, ValueError):  # not there yet, or not all of it
                return path, {}
        return "", found


class EngineLauncher(BaseLauncher):
    """Starts engines."""

    name = Unicode("ipengine")
    engine_cmd = List(config=True, help="The program that is an engine, and arguments.")
    engine_args = List(Unicode(), config=True, help="More arguments for the engines.")
    n = Integer(1).tag(to_dict=True)
    engine_set_id = Unicode()

    @default("engine_cmd")
    def _default_engine_cmd(self) -> list[str]:
        return [native.program("ipengine")]

    def find_args(self) -> list[str]:
        """Return the command line of an engine."""
        return [*self.engine_cmd, *self.cluster_args, *self.engine_args]


def _as_text(status: Any) -> str:
    return f"exit status {status}" if isinstance(status, int) and status >= 0 else str(status)


def with_log(launcher: Any) -> str:
    """Return the end of what something has written, for the text of an error."""
    try:
        output = last_lines(launcher.get_output() or "", _LOG_LINES).rstrip()
    except (OSError, NotImplementedError):
        output = ""
    return f"; the end of its log:\n{output}" if output else ""
