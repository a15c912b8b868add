"""Launcher classes by the names that users give."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from traitlets import TraitError, TraitType

from . import launchers
from .launcher import BaseLauncher

__all__ = ["LauncherClass", "abbreviate", "find", "known_names"]

Role = Literal["controller", "engine"]
SHORT_NAMES = (
    *("batch", "htcondor", "local", "lsf", "mpi", "pbs", "sge", "slurm", "ssh", "sshproxy"),
    "winhpc",
)
_FAMILY = {
    "local": "Local",
    "mpi": "MPI",
    "ssh": "SSH",
    "sshproxy": "SSHProxy",
    "slurm": "Slurm",
    "sge": "SGE",
    "pbs": "PBS",
    "lsf": "LSF",
    "htcondor": "HTCondor",
    "winhpc": "WindowsHPC",
    "batch": "Batch",
}
_OTHER_NAMES = {
    "windowshpc": "winhpc",
    "mpiexec": "mpi",
    "condor": "htcondor",
    "ipyfleet": "local",  # as ipyparallel knows our launchers, see `.peer`
}
# Modules of ipyparallel and its ancestors whose classes mean ours of the same name.
_PEER_MODULES = ("ipyparallel.cluster.launcher", "ipyparallel.apps.launcher", "IPython.parallel.")
_PEER_GROUP = "ipyparallel.{role}_launchers"
_GROUP = "ipyfleet.{role}_launchers"


def _suffix(role: Role) -> str:
    return "ControllerLauncher" if role == "controller" else "EngineSetLauncher"


def _builtin(role: Role, name: str) -> type[BaseLauncher] | None:
    """Return our class for `local`, `LocalEngineSetLauncher` or what is like it, in any case."""
    short = name.lower().removeprefix("ipyfleet-")
    for ending in ("launcher", "controller", "engineset"):
        if short != ending:
            short = short.removesuffix(ending)
    short = _OTHER_NAMES.get(short, short)
    family = _FAMILY.get(short)
    return getattr(launchers, f"{family}{_suffix(role)}", None) if family else None


def _registered(role: Role) -> dict[str, EntryPoint]:
    """Return the launchers that other packages have registered."""
    found: dict[str, EntryPoint] = {}
    for group in (_PEER_GROUP, _GROUP):
        for each in entry_points(group=group.format(role=role)):
            if not each.value.startswith(("ipyfleet.", *_PEER_MODULES)):
                found[each.name.lower()] = each
    return found


def known_names(role: Role) -> list[str]:
    """Return the short names that `find` knows."""
    ours = [name for name in SHORT_NAMES if _builtin(role, name)]
    return sorted({*ours, *_registered(role)})


def find(role: Role, name: str) -> type[Any]:
    """Return the launcher class that a name means.

    Raises
    ------
    ValueError
        If there is none; the text lists those that are there.
    """
    text = name.strip()
    module, _, attribute = text.replace(":", ".").rpartition(".")
    ours = not module or module.startswith(("ipyfleet.", *_PEER_MODULES))
    builtin = _builtin(role, attribute) if ours else None
    if builtin is not None:
        return builtin
    registered = _registered(role)
    try:
        if not module and text.lower() in registered:
            return registered[text.lower()].load()
        if module:
            return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as failure:
        raise ValueError(f"the launcher {name!r} cannot be loaded: {failure}") from failure
    known = ", ".join(known_names(role))
    raise ValueError(f"there is no {role} launcher {name!r}; there are {known}, or module:Class")


def abbreviate(role: Role, cls: type[Any]) -> str:
    """Return the name under which cluster files know a class."""
    for short in SHORT_NAMES:
        if _builtin(role, short) is cls:
            return short
    for name, each in _registered(role).items():
        if each.value == f"{cls.__module__}:{cls.__qualname__}":
            return name
    return f"{cls.__module__}:{cls.__name__}"


class LauncherClass(TraitType[Any, Any]):
    """A trait whose value is a launcher class, which may be given by name."""

    info_text = "the name of a launcher, or a launcher class"

    def __init__(self, role: Role, **kwargs: Any) -> None:
        self.role: Role = role
        super().__init__(**kwargs)

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the class."""
        if isinstance(value, str):
            try:
                value = find(self.role, value)
            except ValueError as failure:
                raise TraitError(str(failure)) from None
        # Not by base class: launchers that were written for ipyparallel have another one.
        if inspect.isclass(value) and all(hasattr(value, m) for m in ("start", "stop", "on_stop")):
            return value
        raise TraitError(f"{value!r} is no launcher class: it has no start, stop and on_stop")

    def from_string(self, s: str) -> Any:
        """Leave names alone; `validate` looks them up."""
        return s
