"""What clusters wait for and look after: files, engines, processes of others."""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import os
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import error
from . import clusterfile
from .nativelauncher import NativeLauncher, exit_text

if TYPE_CHECKING:
    from ..client import Client
    from .cluster import Cluster

_ENGINES_STEP_S = 0.01
_OWNER_S = 8.0


async def gather_all(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Wait for all, also if one fails, and raise the first failure."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


# ---- who runs already ---------------------------------------------------------------------------


def start_ticks(pid: int) -> int:
    """Return when a process started, in ticks; 0 if it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _recorded_pids(content: dict[str, Any]) -> Iterable[int]:
    states = [(content.get("controller") or {}).get("state") or {}]
    for _, each in clusterfile.sets_of(content).values():
        states += [each, *(each.get("engines") or {}).values()]
    return [state["pid"] for state in states if isinstance(state, dict) and state.get("pid", 0) > 0]


def living_pids(content: dict[str, Any], profile_dir: str) -> list[int]:
    """Return the processes of a cluster file that run, on this machine."""
    ours = content.get("ipyfleet") or {}
    machine = ours.get("machine")
    if machine is not None and machine != clusterfile.machine():
        return []
    known = ours.get("start_ticks") or {}
    found: list[int] = []
    for pid in {*_recorded_pids(content), *map(int, known)}:
        ticks = start_ticks(pid)
        if str(pid) in known:
            if ticks and ticks == known[str(pid)]:
                found.append(pid)
        elif ticks:
            # Written by ipyparallel, without start times: the number may be of something else.
            with contextlib.suppress(OSError):
                environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if f"IPP_PROFILE_DIR={profile_dir}".encode() in environ:
                    found.append(pid)
    return sorted(found)


def check_not_running(cluster: Cluster) -> None:
    """Raise RuntimeError if another process has this cluster running."""
    if not cluster.cluster_file or not os.path.exists(cluster.cluster_file):
        return
    try:
        content = clusterfile.read(cluster.cluster_file)
    except ValueError as failure:
        cluster.log.warning("%s: replacing it", failure)
        return
    living = living_pids(content, cluster.profile_dir)
    if living:
        raise RuntimeError(
            f"the cluster {cluster.cluster_id!r} runs already (pids"
            f" {', '.join(map(str, living))}), see {cluster.cluster_file}; Cluster.from_file()"
            " connects to it, ipcluster stop stops it"
        )


def _reuses(controller: Any) -> bool:
    return any(
        argument.startswith(("--reuse", "--restore", "--IPController.re"))
        for argument in controller.controller_args
    )


def remove_stale_connection_files(controller: Any, log: Any) -> None:
    """Remove the files of a controller that is gone: nobody may take them for the new one's."""
    if _reuses_or_foreign(controller):
        return
    for path in controller.connection_files.values():
        if os.path.exists(path):
            log.info("Removing %s, which a controller that is gone has left", path)
            Path(path).unlink(missing_ok=True)


def remove_connection_files(controller: Any) -> None:
    """Remove what a controller that was killed has left."""
    if _reuses_or_foreign(controller) or controller.state != "after":
        return
    for path in controller.connection_files.values():
        Path(path).unlink(missing_ok=True)
    dashed = f"-{controller.cluster_id}" if controller.cluster_id else ""
    _remove_unlocked(Path(controller.profile_dir) / "pid" / f"ipcontroller{dashed}.lock")


def _remove_unlocked(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _reuses_or_foreign(controller: Any) -> bool:
    return not isinstance(controller, NativeLauncher) or _reuses(controller)


def set_id_used(cluster: Cluster, set_id: str) -> bool:
    """Tell whether there are logs of a set with this id."""
    log = Path(cluster.profile_dir) / "log" / f"ipengine-{cluster.cluster_id}-{set_id}-0.log"
    return log.exists()


async def wait_for_owner(cluster: Cluster) -> None:
    """Wait for the end of the ipcluster that started a cluster: it ends with its controller."""
    owner = cluster.owner
    if not owner:
        return
    end = time.monotonic() + _OWNER_S
    while start_ticks(owner["pid"]) == owner.get("start") and time.monotonic() < end:
        await asyncio.sleep(_ENGINES_STEP_S)
    cluster.owner = None


def import_cluster_class(name: str | None, cls: type[Any], ours: type[Any]) -> type[Any]:
    """Return the class that a cluster file names."""
    if not name or name in (clusterfile.CLASS, f"{ours.__module__}.{ours.__name__}"):
        return cls
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as failure:
        raise ValueError(f"the class {name!r} of the cluster file cannot be imported") from failure
    if not (isinstance(found, type) and issubclass(found, ours)):
        raise ValueError(f"the class {name!r} of the cluster file is no ipyfleet.Cluster")
    return found


# ---- engines ------------------------------------------------------------------------------------


def find_engine(cluster: Any, engine_id: int) -> tuple[Any, int | None]:
    """Return the set and the number in it of an engine; the number is None if nobody knows it."""
    unknown: list[Any] = []
    for engine_set in cluster.engines.values():
        if not isinstance(engine_set, NativeLauncher):
            unknown.append(engine_set)
            continue
        ids = engine_set.engine_ids()
        for index, known in ids.items():
            if known == engine_id:
                return engine_set, index
        if not ids:
            unknown.append(engine_set)
    if len(cluster.engines) == 1 and unknown:
        return unknown[0], None
    raise IndexError(f"no launcher of this cluster has started an engine {engine_id}")


def _failure(cluster: Cluster) -> str:
    """Return why it is of no use to wait for engines, or nothing."""
    controller = cluster.controller
    if controller is None or controller.state == "after":
        data = getattr(controller, "stop_data", None) or {}
        log = controller.log_of_failure() if isinstance(controller, NativeLauncher) else ""
        return f"the controller ended: {exit_text(data.get('exit_code'))}" + _with(log)
    for set_id, engine_set in cluster.engines.items():
        exits = getattr(engine_set, "exits", {})
        if engine_set.state != "after" and not exits:
            continue
        code = next((e["exit_code"] for e in exits.values()), None)
        data = engine_set.stop_data if isinstance(engine_set.stop_data, dict) else {}
        code = data.get("exit_code", code)
        log = engine_set.log_of_failure() if isinstance(engine_set, NativeLauncher) else ""
        return f"an engine of set {set_id} ended: {exit_text(code)}" + _with(log)
    return ""


def _with(log: str) -> str:
    return f"; the end of its log:\n{log}" if log else ""


async def wait_for_engines(cluster: Cluster, client: Client, n: int) -> None:
    """Wait until n engines are registered, with a progress bar where somebody looks."""
    from ..display import noninteractive, progress, shell

    end = time.monotonic() + cluster.engine_timeout
    bar = None
    if shell() is not None and not noninteractive() and len(client) < n:
        bar = progress(n, unit="engine", initial=len(client))
    try:
        while len(client) < n:
            failure = _failure(cluster)
            if failure:
                raise error.EngineError(failure)
            if any(getattr(each, "queued", False) for each in cluster.engines.values()):
                end = time.monotonic() + cluster.engine_timeout  # in a queue nobody can hurry
            if time.monotonic() >= end:
                raise error.TimeoutError(
                    f"{len(client)} of {n} engines registered within {cluster.engine_timeout}"
                    f" seconds; their logs are in {Path(cluster.profile_dir) / 'log'}"
                )
            await asyncio.sleep(_ENGINES_STEP_S)
            if bar is not None:
                bar.update(min(len(client), n) - bar.n)
    finally:
        if bar is not None:
            bar.close()


async def restart_engine(client: Client, engine_id: int, timeout: float) -> None:
    """Have an engine start anew, and wait until it is registered under its id."""
    before = client.engines.get(engine_id)
    await asyncio.to_thread(client.shutdown, targets=[engine_id], restart=True, block=True)
    end = time.monotonic() + timeout
    while client.engines.get(engine_id) in (None, before):
        if time.monotonic() >= end:
            raise error.TimeoutError(f"engine {engine_id} is not back within {timeout} seconds")
        await asyncio.sleep(_ENGINES_STEP_S)
