"""``import ipyparallel`` as another name of this package.

Modules of IPython Parallel that users import become importable; each takes its names from the
modules here. Nothing of ipyparallel itself is used, installed or not.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["install_as_ipyparallel"]

ROOT = "ipyparallel"
REFERENCE_VERSION = "9.2.0"

# Where each module looks for its names: modules of this package, the first that has one counts.
_SOURCES: dict[str, tuple[str, ...]] = {
    "": ("",),
    "apps": (),
    "apps.ipclusterapp": ("profileapps",),
    "apps.ipcontrollerapp": ("profileapps",),
    "apps.ipengineapp": ("profileapps",),
    "client": (),
    "client.asyncresult": ("asyncresult", "mapresult", "hubresult"),
    "client.client": ("client", "metadata", "executor"),
    "client.magics": ("magics",),
    "client.map": ("mapping",),
    "client.remotefunction": ("remotefunction",),
    "client.view": ("view", "directview", "balancedview", "broadcastview", "lazymap", "executor"),
    "cluster": ("cluster",),
    "controller": (),
    "controller.dependency": ("dependency", "canning"),
    "datapub": ("datapub",),
    "engine": (),
    "engine.datapub": ("datapub",),
    "error": ("error",),
    "joblib": ("joblib",),
    "serialize": ("serialize", "canning"),
    "serialize.canning": ("canning",),
    "serialize.serialize": ("serialize",),
    "util": ("util", "canning"),
}
_PACKAGES = frozenset(("", "apps", "client", "cluster", "controller", "engine", "serialize"))


class _AliasModule(ModuleType):
    """A module that finds its names in modules of this package."""

    def __getattr__(self, name: str) -> Any:
        relative = self.__name__.removeprefix(ROOT).removeprefix(".")
        if name.startswith("__") and name != "__version__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        submodule = f"{relative}.{name}".removeprefix(".")
        if relative == "" and name in ("__version__", "version_info"):
            value: Any = REFERENCE_VERSION
            if name == "version_info":
                value = tuple(map(int, REFERENCE_VERSION.split(".")))
        elif submodule in _SOURCES and _source_exists(submodule):
            return importlib.import_module(f"{self.__name__}.{name}")
        else:
            value = _find(relative, name)
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        relative = self.__name__.removeprefix(ROOT).removeprefix(".")
        names = {name for module in _modules(relative) for name in dir(module)}
        return sorted({*self.__dict__, *names})


def _source_exists(relative: str) -> bool:
    sources = _SOURCES[relative]
    if not sources:
        return True
    package = __package__ or ""
    return any(
        importlib.util.find_spec(f"{package}.{source}".removesuffix(".")) for source in sources
    )


def _modules(relative: str) -> list[ModuleType]:
    package = __package__ or ""
    found: list[ModuleType] = []
    for source in _SOURCES[relative]:
        name = f"{package}.{source}".removesuffix(".")
        if importlib.util.find_spec(name):
            found.append(importlib.import_module(name))
    return found


def _find(relative: str, name: str) -> Any:
    for module in _modules(relative):
        if hasattr(module, name):
            return getattr(module, name)
    where = f"{ROOT}.{relative}".removesuffix(".")
    raise AttributeError(f"ipyfleet, which stands for {ROOT} here, has no {where}.{name}")


class _AliasFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of `_SOURCES`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, relative = fullname.partition(".")
        if root != ROOT:
            return None
        if relative not in _SOURCES or not _source_exists(relative):
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: ipyfleet stands for {ROOT} here, without this part",
                name=fullname,
            )
        return ModuleSpec(fullname, self, is_package=relative in _PACKAGES)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _AliasModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        relative = module.__name__.removeprefix(ROOT).removeprefix(".")
        names: list[str] = []
        for source in _modules(relative):
            names += getattr(source, "__all__", ())
        module.__dict__["__all__"] = sorted({*names})


def install_as_ipyparallel() -> None:
    """Make ``import ipyparallel`` mean this package in this process, submodules included.

    Calling it again does nothing.

    Raises
    ------
    RuntimeError
        If the real ipyparallel has been imported already.

    Examples
    --------
    >>> import ipyfleet
    >>> ipyfleet.install_as_ipyparallel()  # doctest: +SKIP
    >>> import ipyparallel as ipp  # doctest: +SKIP
    """
    if any(isinstance(finder, _AliasFinder) for finder in sys.meta_path):
        return
    root = sys.modules.get(ROOT)
    if type(root).__module__ == f"{__package__}.compat":
        return  # on an engine the part that engines need is there already
    if root is not None:
        raise RuntimeError(
            f"{ROOT} is imported already; call install_as_ipyparallel before anything imports it"
        )
    sys.meta_path.insert(0, _AliasFinder())
