"""Our launchers for a Cluster of ipyparallel: ``ipyparallel.Cluster(engines="ipyfleet")``.

Needs ipyparallel, which finds this module by its entry points.
"""

# Traits and JSON have no types.
# pyright: standard, reportMissingImports=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any

from ipyparallel.cluster import launcher as peer
from traitlets import List, Unicode, default

from . import launchers, native
from .nativelauncher import NativeLauncher


class _Engines(NativeLauncher, peer.EngineLauncher):
    not_running = peer.NotRunning
    engine_cmd = List(Unicode(), config=True, help="The program that is an engine, and arguments.")

    @default("engine_cmd")
    def _default_engine_cmd(self) -> list[str]:
        return [native.program("ipengine")]

    def find_args(self) -> list[str]:
        """Return the program and its arguments."""
        return [*self.engine_cmd, *self.cluster_args, *self.engine_args]


class FleetControllerLauncher(NativeLauncher, peer.ControllerLauncher):
    """Starts our controller on this machine."""

    not_running = peer.NotRunning

    controller_cmd = List(Unicode(), config=True, help="The program and its arguments.")

    @default("controller_cmd")
    def _default_controller_cmd(self) -> list[str]:
        return [native.program("ipcontroller")]

    def find_args(self) -> list[str]:
        """Return the program and its arguments."""
        return [*self.controller_cmd, *self.cluster_args, *self.controller_args]


class FleetEngineSetLauncher(_Engines):
    """Starts our engines on this machine."""

    restart = Unicode(
        "on-failure", config=True, help="on-failure: an engine that crashes starts again; or never."
    )

    def native_options(self) -> dict[str, Any]:
        """Return what the launcher in C++ is made with."""
        options = super().native_options()
        if options["command"] == [native.program("ipengine")]:
            options["args"] = [f"--restart={self.restart}", *options["args"]]
            options["fork_server"] = True
        return options


def _class(name: str) -> Any:
    """Make ipyparallel's sibling of one of our classes, with the same traits."""
    ours = getattr(launchers, name)
    controller = name.endswith("ControllerLauncher")
    base = FleetControllerLauncher if controller else _Engines
    traits = {
        trait: value
        for cls in reversed(ours.__mro__)
        if cls.__module__ == launchers.__name__
        for trait, value in vars(cls).items()
        if not trait.startswith("_") and hasattr(value, "default_value")
    }
    names = {"__doc__": ours.__doc__, "__module__": __name__, "native_name": ours.native_name}
    return type(f"Fleet{name}", (base,), {**traits, **names})


def __getattr__(name: str) -> Any:
    ours = name.removeprefix("Fleet")
    if ours == name or not hasattr(launchers, ours):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = _class(ours)
    globals()[name] = value
    return value
