"""All clusters of a user."""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from traitlets import Dict
from traitlets.config import LoggingConfigurable

from . import clusterfile, profiles, waiting
from .cluster import Cluster

__all__ = ["ClusterManager", "clean_cluster_files"]


class ClusterManager(LoggingConfigurable):
    """Finds clusters by their files, and keeps them by key, ``<profile>:<cluster id>``."""

    clusters = Dict(help="The clusters by key.")

    @staticmethod
    def _cluster_key(cluster: Cluster) -> str:
        return f"{profiles.abbreviate(cluster.profile_dir)}:{cluster.cluster_id}"

    @staticmethod
    def _cluster_files_in_profile_dir(profile_dir: str) -> list[str]:
        return sorted(map(str, (Path(profile_dir) / "security").glob("cluster-*.json")))

    def load_clusters(
        self,
        *,
        profile_dirs: Iterable[str] | None = None,
        profile_dir: str | None = None,
        profiles: Iterable[str] | None = None,
        profile: str | None = None,
        init_default_clusters: bool = False,
        **kwargs: Any,
    ) -> dict[str, Cluster]:
        """Find clusters, forget those that have stopped, and return all.

        Parameters
        ----------
        profile_dirs, profile_dir, profiles, profile
            Where to look; the first that is given counts. By default in all profiles.
        init_default_clusters
            Whether a profile without a running cluster gets one that is not started yet.
        """
        for key, cluster in list(self.clusters.items()):
            ended = cluster.controller and cluster.controller.state == "after"
            if ended and not cluster._is_running(look=True):
                self.log.info("Removing stopped cluster %s", key)
                self.clusters.pop(key)
        places = _places(profile_dirs, profile_dir, profiles, profile)
        known = {each.cluster_file for each in self.clusters.values()}
        for place in places:
            files = self._cluster_files_in_profile_dir(place)
            if init_default_clusters and not files:
                self.clusters.setdefault(
                    self._cluster_key(new := Cluster(profile_dir=place, cluster_id="")), new
                )
            for path in files:
                if path not in known:
                    self._load(path)
        return self.clusters

    def _load(self, path: str) -> None:
        try:
            cluster = Cluster.from_file(path, parent=self)
        except Exception as failure:  # one bad file must not hide the others
            self.log.warning("The cluster of %s cannot be loaded: %s", path, failure)
            return
        self.clusters[self._cluster_key(cluster)] = cluster

    def new_cluster(self, **kwargs: Any) -> tuple[str, Cluster]:
        """Return a new cluster, which is not started yet, after its key."""
        cluster = Cluster(parent=self, **kwargs)
        key = self._cluster_key(cluster)
        if key in self.clusters:
            raise KeyError(f"there is a cluster {key} already")
        self.clusters[key] = cluster
        return key, cluster

    def get_cluster(self, cluster_id: str) -> Cluster:
        """Return a cluster by its key."""
        return self.clusters[cluster_id]

    def remove_cluster(self, cluster_id: str) -> None:
        """Forget a cluster."""
        del self.clusters[cluster_id]


def _places(
    profile_dirs: Iterable[str] | None,
    profile_dir: str | None,
    names: Iterable[str] | None,
    name: str | None,
) -> list[str]:
    if profile_dirs is not None:
        return list(profile_dirs)
    if profile_dir is not None:
        return [profile_dir]
    if names is not None:
        return profiles.locate(names)
    if name is not None:
        return profiles.locate([name])
    return profiles.all_profile_dirs()


def clean_cluster_files(
    profile_dirs: str | Iterable[str] | None = None, *, log: Any = None, force: bool = False
) -> None:
    """Remove logs, connection files and cluster files of clusters that do not run.

    Parameters
    ----------
    profile_dirs
        Where; by default in all profiles.
    log
        Where to tell what is removed.
    force
        Whether the files of running clusters go, too. Their processes stay.

    Raises
    ------
    ValueError
        If a cluster runs, and `force` is False.
    """
    if profile_dirs is None:
        places = profiles.all_profile_dirs()
    else:
        places = [profile_dirs] if isinstance(profile_dirs, str) else list(profile_dirs)
    for place in places:
        if log:
            log.info("Cleaning cluster files in %s", place)
        for path in ClusterManager._cluster_files_in_profile_dir(place):
            if not force and _runs(path, place):
                raise ValueError(
                    f"the cluster of {path} runs; ipcluster stop stops it, force=True removes the"
                    " file nevertheless"
                )
            _remove(Path(path), log)
        for pattern in ("log/*", "security/ipcontroller-*.json"):
            for each in sorted(Path(place).glob(pattern)):
                _remove(each, log)


def _runs(path: str, profile_dir: str) -> bool:
    try:
        return bool(waiting.living_pids(clusterfile.read(path), profile_dir))
    except (OSError, ValueError):
        return False


def _remove(path: Path, log: Any) -> None:
    try:
        path.unlink()
    except OSError as failure:
        if log:
            log.error("%s cannot be removed: %s", path, failure)
    else:
        if log:
            log.debug("Removed %s", path)
