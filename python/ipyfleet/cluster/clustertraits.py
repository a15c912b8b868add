"""The traits of a cluster, where their values come from, and its log."""

# Traits have no types.
# pyright: standard

from __future__ import annotations

import logging
import os
import secrets
import string
import sys
import threading
import time
from pathlib import Path
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Float, Instance, Integer, List, Unicode, default, validate
from traitlets.config import Application, Config, LoggingConfigurable

from . import profiles
from .launchers import LocalControllerLauncher, LocalEngineSetLauncher
from .registry import LauncherClass

__all__ = ["ClusterTraits"]

_ID_CHARACTERS = string.ascii_lowercase + string.digits


class ClusterTraits(LoggingConfigurable):
    """What can be said of a `Cluster`: by arguments, in files, by the running shell."""

    shutdown_atexit = Bool(True, help="Whether the cluster stops when this process ends.")
    cluster_id = Unicode(help="The name of the cluster in its profile.").tag(to_dict=True)
    profile_dir = Unicode(help="The profile's directory.").tag(to_dict=True)
    profile = Unicode("", help="The profile's name, instead of its directory.")
    cluster_file = Unicode(help="Where others learn what runs; empty: nowhere.")
    engine_timeout = Integer(60, config=True, help="Seconds to wait for engines to register.")
    send_engines_connection_env = Bool(
        True,
        config=True,
        help="Start engines only when the controller's connection files are there. Launchers that"
        " are written in Python get the one for engines in $IPP_CONNECTION_INFO.",
    )
    controller_launcher_class = LauncherClass(
        "controller",
        default_value=LocalControllerLauncher,
        config=True,
        help="How the controller is started.",
    ).tag(alias="controller")
    engine_launcher_class = LauncherClass(
        "engine",
        default_value=LocalEngineSetLauncher,
        config=True,
        help="How engines are started.",
    ).tag(alias="engines")
    controller_args = List(Unicode(), config=True, help="Arguments for the controller.").tag(
        to_dict=True
    )
    controller_ip = Unicode(config=True, help="The address the controller listens on.").tag(
        to_dict=True
    )
    controller_location = Unicode(
        config=True, help="The name or address of the controller for other hosts."
    ).tag(to_dict=True)
    delay = Float(
        0.0, config=True, help="Seconds between a ready controller and the start of engines."
    ).tag(to_dict=True)
    n = Integer(None, allow_none=True, config=True, help="Number of engines.").tag(to_dict=True)
    log_level = Integer(logging.INFO)
    load_profile = Bool(
        True, config=True, help="Whether the profile's ipcluster_config files count."
    )
    controller = AnyTrait().tag(nosignature=True)
    engines = Dict().tag(nosignature=True)
    profile_config = Instance(Config, allow_none=False).tag(nosignature=True)

    _id_made_up = False

    def __init__(self, *, engines: Any = None, controller: Any = None, **kwargs: Any) -> None:
        for short, value in (("engine", engines), ("controller", controller)):
            if value is not None:
                long = f"{short}_launcher_class"
                if long in kwargs:
                    alias = "engines" if short == "engine" else short
                    raise TypeError(f"give {alias} or {long}, not both")
                kwargs[long] = value
        if "parent" not in kwargs and "config" not in kwargs:
            kwargs["parent"] = self._default_parent()
        self._file_lock = threading.RLock()
        self._own_sets = set()
        super().__init__(**kwargs)

    # ---- defaults -----------------------------------------------------------------------------

    @default("cluster_id")
    def _default_cluster_id(self) -> str:
        self._id_made_up = True
        return f"{int(time.time())}-{''.join(secrets.choice(_ID_CHARACTERS) for _ in range(4))}"

    @default("profile_dir")
    def _default_profile_dir(self) -> str:
        return profiles.default_profile_dir(self.profile)

    @validate("profile_dir")
    def _validate_profile_dir(self, proposal: Any) -> str:
        return os.path.abspath(proposal.value) if proposal.value else proposal.value

    @default("cluster_file")
    def _default_cluster_file(self) -> str:
        return str(Path(self.profile_dir) / "security" / f"cluster-{self.cluster_id}.json")

    @default("parent")
    def _default_parent(self) -> Any:
        from ..display import shell

        return shell()

    @default("log")
    def _default_log(self) -> Any:
        parent = self.parent
        in_session = parent is not None and parent is self._default_parent()
        if not in_session and parent is not None and getattr(parent, "log", None) is not None:
            return parent.log
        if not in_session and Application.initialized():
            return Application.instance().log
        log = logging.getLogger(f"{type(self).__module__}.{self.cluster_id}")
        log.setLevel(self.log_level)
        if in_session:
            log.handlers = [logging.StreamHandler(sys.stdout)]
            log.propagate = False
        return log

    @default("profile_config")
    def _default_profile_config(self) -> Config:
        if not self.load_profile or not Path(self.profile_dir).is_dir():
            return Config()
        from ..config.load import load_config

        return load_config("ipcluster", self.profile_dir, self.log)

    @default("config")
    def _default_config(self) -> Config:
        return self.profile_config if self.load_profile else Config()

    @validate("config")
    def _merge_profile_config(self, proposal: Any) -> Config:
        if not self.load_profile or not self.profile_config:
            return proposal.value
        merged = Config()
        merged.merge(self.profile_config)
        merged.merge(proposal.value)
        return merged
