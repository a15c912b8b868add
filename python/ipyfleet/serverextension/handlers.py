"""What Jupyter Server answers for clusters.

========================  ======================================================================
GET    clusters           all clusters: those that run and the default one of each profile
POST   clusters           make one: ``{"profile": "default", "cluster_id": "", "n": 4}`` or any
                          other traits of `Cluster`, all optional; it is not started
GET    clusters/KEY       one cluster; KEY is its ``id``, ``<profile>:<cluster id>``
POST   clusters/KEY       start it, ``{"n": 4}`` or nothing; 409 if it runs already
DELETE clusters/KEY       stop it and forget it
========================  ======================================================================

A cluster is what its file holds, with ``id``, ``cluster_file``, ``cluster.profile`` and
``engines.n``. Errors are Jupyter's: ``{"message": ..., "reason": ...}``.
"""

# Jupyter Server and traits have no types that are known here.
# pyright: standard

from __future__ import annotations

import asyncio
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized  # pyright: ignore[reportMissingImports]
from jupyter_server.base.handlers import (  # pyright: ignore[reportMissingImports]
    APIHandler,
    JupyterHandler,
)
from jupyter_server.utils import url_path_join  # pyright: ignore[reportMissingImports]
from tornado import web  # pyright: ignore[reportMissingImports]

from ..cluster import Cluster, ClusterManager, profiles

__all__ = ["routes"]

_RESOURCE = "ipyfleet:clusters"
_ENGINES_MAX = 100_000
_KEY = r"(?P<key>[^/]+)"


def _model(key: str, cluster: Cluster) -> dict[str, Any]:
    content = cluster.to_dict()
    content["cluster"]["profile"] = profiles.abbreviate(cluster.profile_dir)
    content["engines"]["n"] = sum(each.get("n", 0) for each in content["engines"]["sets"].values())
    return {"id": key, **content, "cluster_file": cluster.cluster_file}


def _order(model: dict[str, Any]) -> tuple[bool, bool, str, str]:
    """What runs is first, then the default profile."""
    profile = model["cluster"]["profile"]
    runs = bool(model.get("controller") or model["engines"]["n"])
    return not runs, profile != "default", profile, model["cluster"]["cluster_id"]


def _count(body: dict[str, Any]) -> int | None:
    n = body.get("n")
    if n is None or n == "":
        return None
    if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= _ENGINES_MAX:
        raise web.HTTPError(400, f"n must be a number of engines, not {n!r}")
    return n


def _cluster_traits(body: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments for a new cluster."""
    known = {*Cluster.class_trait_names(), "engines", "controller"} - {"parent", "config", "log"}
    unknown = sorted(set(body) - known)
    if unknown:
        raise web.HTTPError(400, f"a cluster has no {', '.join(unknown)}")
    traits = {name: value for name, value in body.items() if value is not None}
    for name in ("profile", "cluster_id", "engines", "controller"):
        if not isinstance(traits.get(name, ""), str):
            raise web.HTTPError(400, f"{name} must be text, not {traits[name]!r}")
    if (n := _count(traits)) is None:
        traits.pop("n", None)
    else:
        traits["n"] = n
    profile = traits.get("profile", "")
    if os.sep in profile:
        traits["profile_dir"] = traits.pop("profile")
    elif not profile:
        traits.pop("profile", None)
    return traits


class _ClusterHandler(APIHandler):
    """What the handlers of the interface have in common."""

    auth_resource = _RESOURCE

    @property
    def manager(self) -> ClusterManager:
        return self.settings["ipyfleet_cluster_manager"]

    def body(self) -> dict[str, Any]:
        body = self.get_json_body()
        if body is None:
            return {}
        if not isinstance(body, dict):
            raise web.HTTPError(400, "the body must be a JSON object")
        return body

    def cluster(self, key: str) -> Cluster:
        try:
            return self.manager.get_cluster(key)
        except KeyError:
            raise web.HTTPError(404, f"there is no cluster {key!r}") from None

    def lock(self, key: str) -> asyncio.Lock:
        """One change of a cluster at a time."""
        locks = self.settings.setdefault("ipyfleet_cluster_locks", {})
        return locks.setdefault(key, asyncio.Lock())

    def answer(self, content: Any) -> None:
        self.finish(json.dumps(content, default=str))


class ClustersHandler(_ClusterHandler):
    """All clusters."""

    @web.authenticated
    @authorized
    def get(self) -> None:
        """List them."""
        found = self.manager.load_clusters(init_default_clusters=True)
        if not found:  # nothing was ever started here
            found = {"default:": Cluster(profile="default", cluster_id="", parent=self.manager)}
            self.manager.clusters.update(found)
        self.answer(sorted((_model(key, each) for key, each in found.items()), key=_order))

    @web.authenticated
    @authorized
    def post(self) -> None:
        """Make one."""
        traits = _cluster_traits(self.body())
        profile = traits.get("profile", "default")
        if not traits.get("cluster_id"):
            traits.pop("cluster_id", None)
            if f"{traits.get('profile_dir', profile)}:" not in self.manager.clusters:
                traits["cluster_id"] = ""
        try:
            key, cluster = self.manager.new_cluster(**traits)
            model = _model(key, cluster)
        except KeyError as failure:
            raise web.HTTPError(409, str(failure.args[0])) from failure
        except Exception as failure:  # traits that do not fit, names that no launcher has
            raise web.HTTPError(400, str(failure)) from failure
        self.set_status(201)
        self.answer(model)


class ClusterHandler(_ClusterHandler):
    """One cluster."""

    @web.authenticated
    @authorized
    def get(self, key: str) -> None:
        """Tell about it."""
        self.answer(_model(key, self.cluster(key)))

    @web.authenticated
    @authorized
    async def post(self, key: str) -> None:
        """Start it."""
        n = _count(self.body())
        cluster = self.cluster(key)
        async with self.lock(key):
            if cluster._is_running(look=True):
                raise web.HTTPError(409, f"the cluster {key!r} runs already")
            cluster.controller = None  # of the last time
            cluster.engines = {}
            try:
                await cluster.start_cluster(n)
            except Exception as failure:
                self.log.warning("The cluster %s could not be started: %s", key, failure)
                raise web.HTTPError(500, f"{key} could not be started: {failure}") from failure
            self.answer(_model(key, cluster))

    @web.authenticated
    @authorized
    async def delete(self, key: str) -> None:
        """Stop it."""
        cluster = self.cluster(key)
        async with self.lock(key):
            try:
                await cluster.stop_cluster()
            except Exception as failure:
                self.log.warning("The cluster %s could not be stopped: %s", key, failure)
                raise web.HTTPError(500, f"{key} could not be stopped: {failure}") from failure
            if key in self.manager.clusters:
                self.manager.remove_cluster(key)
            self.set_status(204)
            self.finish()


@lru_cache(maxsize=1)
def _page() -> str:
    return (Path(__file__).parent / "clusters.html").read_text(encoding="utf-8")


class PageHandler(JupyterHandler):
    """The page."""

    auth_resource = _RESOURCE

    @web.authenticated
    @authorized
    def get(self) -> None:
        """Show it."""
        _ = self.xsrf_token  # sets the cookie that the page sends back
        address = url_path_join(self.base_url, "ipyfleet", "clusters")
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        text = json.dumps(address).replace("<", "\\u003c")
        self.finish(_page().replace('"@CLUSTERS@"', text))


def routes(base_url: str, prefixes: list[str]) -> list[tuple[str, type[JupyterHandler]]]:
    """Return what to answer below the base URL."""
    found: list[tuple[str, type[JupyterHandler]]] = [
        (url_path_join(base_url, r"ipyfleet/?"), PageHandler)
    ]
    for prefix in prefixes:
        clusters = url_path_join(base_url, prefix, "clusters")
        found += [(clusters, ClustersHandler), (rf"{clusters}/{_KEY}", ClusterHandler)]
    return found
