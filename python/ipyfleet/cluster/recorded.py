"""The part of a cluster that stands in its file: written, found again, kept in step with others."""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from . import clusterfile, waiting
from .launcher import NotRunning
from .nativelauncher import NativeLauncher
from .registry import abbreviate, find

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["RecordedCluster"]


class RecordedCluster:
    """What `Cluster` does with its file."""

    # Of Cluster.
    cluster_file: Any
    cluster_id: Any
    profile_dir: Any
    controller: Any
    controller_launcher_class: Any
    engines: Any
    engine_launcher_class: Any
    log: Any
    traits: Any
    _controller_stopped: Any
    _engines_stopped: Any

    owner: dict[str, Any] | None = None  # the ipcluster that started it, from the file
    _file_lock: threading.RLock
    _own_sets: set[str]  # all that this object has started or found in the file
    _in_file = False  # the file there is about this run of the cluster

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the cluster file."""
        from .cluster import Cluster

        info = {name: getattr(self, name) for name in self.traits(to_dict=True)}
        cls = type(self)
        own = cls is Cluster
        info["class"] = clusterfile.CLASS if own else f"{cls.__module__}.{cls.__name__}"
        content: dict[str, Any] = {"cluster": info}
        if self.controller and self.controller.state != "after":
            content["controller"] = {
                "class": abbreviate("controller", self.controller_launcher_class),
                "state": self.controller.to_dict(),
            }
        usual = abbreviate("engine", self.engine_launcher_class)
        content["engines"] = {"class": usual, "sets": {}}
        ticks: dict[int, int] = {}
        for each in self._launchers():
            if isinstance(each, NativeLauncher):
                ticks.update(each.start_ticks())
        content["ipyfleet"] = {"machine": clusterfile.machine(), "start_ticks": ticks}
        if self.owner:
            content["ipyfleet"]["ipcluster"] = self.owner
        for set_id, each in self.engines.items():
            if each.state != "after":
                same = type(each) is self.engine_launcher_class
                kind = usual if same else abbreviate("engine", type(each))
                clusterfile.put_set(content, set_id, kind, each.to_dict())
        return content

    @classmethod
    def from_dict(cls, d: dict[str, Any], **kwargs: Any) -> Cluster:
        """Return a cluster that goes on with what the content of a cluster file tells."""
        from .cluster import Cluster

        specified = waiting.import_cluster_class(d["cluster"].get("class"), cls, Cluster)
        if specified is not cls:
            return specified.from_dict(d, **kwargs)
        kwargs.setdefault("shutdown_atexit", False)
        self = cls(**kwargs)
        for name in self.traits(to_dict=True):
            if name in d["cluster"]:
                setattr(self, name, d["cluster"][name])
        ours = d.get("ipyfleet") or {}
        self.owner = ours.get("ipcluster")
        controller = d.get("controller") or {}
        if controller.get("state"):
            self.controller_launcher_class = controller["class"]
            self.controller = self._restore(
                "controller", self.controller_launcher_class, controller["state"], d
            )
            if self.controller is not None:
                self.controller.on_stop(self._controller_stopped)
        engines = d.get("engines") or {}
        if engines.get("class"):
            self.engine_launcher_class = engines["class"]
        self._in_file = True
        self._take_over_sets(d)
        if set(self.engines) != set(self._own_sets) or (
            bool(controller.get("state")) != bool(self.controller)
        ):
            self.update_cluster_file()
        return cast("Cluster", self)

    def _take_over_sets(self, content: dict[str, Any]) -> None:
        """Go on with all sets of engines in a file that are not known yet."""
        usual = (content.get("engines") or {}).get("class")
        for set_id, (kind, state) in clusterfile.sets_of(content).items():
            if set_id in self._own_sets:
                continue
            try:
                cls = self.engine_launcher_class if kind == usual else find("engine", kind)
            except ValueError as failure:
                self.log.warning("The engine set %s is left alone: %s", set_id, failure)
                continue
            self._own_sets.add(set_id)
            engine_set = self._restore("engine", cls, state, content, engine_set_id=set_id)
            if engine_set is not None:
                self.engines[set_id] = engine_set
                engine_set.on_stop(partial(self._engines_stopped, set_id))

    def _restore(
        self, role: str, cls: Any, state: dict[str, Any], content: dict[str, Any], **kwargs: Any
    ) -> Any:
        if issubclass(cls, NativeLauncher):
            kwargs["start_ticks"] = (content.get("ipyfleet") or {}).get("start_ticks") or {}
        try:
            return cls.from_dict(state, parent=self, **kwargs)
        except Exception as failure:
            # Launchers of other packages have a NotRunning of their own.
            if not isinstance(failure, NotRunning) and type(failure).__name__ != "NotRunning":
                raise
            self.log.info("%s of cluster %r does not run: %s", role, self.cluster_id, failure)
            return None

    @classmethod
    def from_file(
        cls,
        cluster_file: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        profile_dir: str | None = None,
        cluster_id: str = "",
        **kwargs: Any,
    ) -> Cluster:
        """Return the cluster that a file tells of, one of ours or of ipyparallel.

        Parameters
        ----------
        cluster_file
            Its path.
        profile, profile_dir, cluster_id
            Where to look for it otherwise. Without them it is the cluster that ``ipcluster start``
            started.
        **kwargs
            Traits of the cluster.

        Raises
        ------
        FileNotFoundError
            If there is no such file, because no such cluster runs.
        ValueError
            If it is not a cluster file.
        """
        if cluster_file is None:
            kwargs["cluster_id"] = cluster_id
            if profile is not None:
                kwargs["profile"] = profile
            if profile_dir is not None:
                kwargs["profile_dir"] = profile_dir
            from .cluster import Cluster

            cluster_file = str(Cluster(**kwargs).cluster_file)
        path = os.fspath(cluster_file)
        kwargs.setdefault("cluster_file", path)
        return cls.from_dict(clusterfile.read(path), **kwargs)

    def write_cluster_file(self) -> None:
        """Write the cluster file; sets of engines that others have added stay in it."""
        Path(self.cluster_file).parent.mkdir(parents=True, exist_ok=True)
        with self._file_lock, clusterfile.locked(self.cluster_file):
            content = self.to_dict()
            if self._in_file and (current := self._current()) is not None:
                clusterfile.keep_others(content, current, self._own_sets)
            clusterfile.write(self.cluster_file, content)
            self._in_file = True

    def remove_cluster_file(self) -> None:
        """Remove the cluster file."""
        with self._file_lock, clusterfile.locked(self.cluster_file):
            clusterfile.remove(self.cluster_file)
            self._in_file = False

    def _current(self) -> dict[str, Any] | None:
        """Return what stands in the file now, if there is one that can be read."""
        try:
            return clusterfile.read(self.cluster_file)
        except (OSError, ValueError):
            return None

    def take_over_others(self) -> None:
        """Go on with the sets of engines that others have added since."""
        if self.cluster_file and self._in_file and (current := self._current()) is not None:
            self._take_over_sets(current)

    def _launchers(self) -> list[Any]:
        return [each for each in (self.controller, *self.engines.values()) if each is not None]

    def _is_running(self, look: bool = False) -> bool:
        if look:
            for each in self._launchers():
                each.poll()
        return any(each.state != "after" for each in self._launchers())

    def update_cluster_file(self) -> None:
        """Write the cluster file, or remove it when nothing runs."""
        if not self.cluster_file:
            return
        if self._is_running():
            self.write_cluster_file()
        else:
            self.remove_cluster_file()
