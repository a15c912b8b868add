"""The names of IPython1 (2007), for programs of that time.

>>> from ipyfleet import ipython1  # doctest: +SKIP
>>> ipython1.install()  # doctest: +SKIP
>>> from ipython1.kernel import client  # doctest: +SKIP
>>> mec = client.MultiEngineController(("127.0.0.1", 10105))  # doctest: +SKIP
>>> mec.get_ids()  # doctest: +SKIP
[0, 1, 2, 3]

An address says which of the user's running clusters is meant; the key is in the connection file, as
for any client. `MultiEngineController` is a `DirectView` of all engines, and `TaskController` a
`LoadBalancedView`, each with the few old methods beside the new ones. One cluster serves both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client

__all__ = [
    "MultiEngineClient",
    "MultiEngineController",
    "ResultsList",
    "TaskClient",
    "TaskController",
    "install",
]

Address = tuple[str, int]


def find_connection_file(address: Address) -> str:
    """Return the newest connection file of a controller whose registration port this is.

    Raises
    ------
    FileNotFoundError
        If there is none among the profiles in ``$IPYTHONDIR`` or ``~/.ipython``.
    """
    host, port = address
    root = Path(os.environ.get("IPYTHONDIR") or "~/.ipython").expanduser()
    files = [*root.glob("profile_*/security/ipcontroller*-client.json")]
    for file in sorted(files, key=lambda each: each.stat().st_mtime, reverse=True):
        try:
            fields: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if fields.get("registration") == port:
            return str(file)
    raise FileNotFoundError(
        f"no connection file in {root}/profile_*/security is that of a controller at {host}:{port};"
        f" start it with: ipcontroller --engine-port={port}"
    )


def _connect(address: Address | None, options: Mapping[str, Any]) -> Client:
    from .client import Client

    return Client(None if address is None else find_connection_file(address), **options)


class ResultsList(list[dict[str, Any]]):
    """What engines have printed and returned, one dict for each: id, number, code, text."""

    def __repr__(self) -> str:
        lines = ["<Results List>"]
        for each in self:
            place, number = f"[{each['id']}]", each["number"]
            lines.append(f"{place} In [{number}]: {each['code']}")
            if each["text"]:
                lines.append(f"{place} Out[{number}]: {each['text']}")
        return "\n".join(lines)


class MultiEngineController:
    """All engines of a cluster.

    Parameters
    ----------
    address
        Host and registration port of the controller; None means the default cluster.
    **options
        As those of `ipyfleet.Client`.
    """

    def __init__(self, address: Address | None = None, **options: Any) -> None:
        self.client = _connect(address, options)
        self.view = self.client[:]

    def get_ids(self) -> list[int]:
        """Return the ids of the engines."""
        return self.client.ids

    def execute(self, code: str, targets: Any = None) -> ResultsList:
        """Run source text on engines, and wait.

        Raises
        ------
        RemoteError
            If it raised.
        """
        result = self.view.execute(code, silent=False, targets=targets, block=True)
        replies: list[Any] = [result.get()] if result.single_result else result.get()
        return ResultsList(
            {
                "id": reply.engine_id,
                "number": reply.execution_count,
                "code": code,
                "text": "".join((reply.stdout, reply.data.get("text/plain", ""))).rstrip("\n"),
            }
            for reply in replies
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.view, name)


class TaskController:
    """The engines of a cluster, of which each call takes whichever is free.

    The parameters are those of `MultiEngineController`.
    """

    def __init__(self, address: Address | None = None, **options: Any) -> None:
        self.client = _connect(address, options)
        self.view = self.client.load_balanced_view()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.view, name)


MultiEngineClient = MultiEngineController
TaskClient = TaskController


def install() -> None:
    """Make ``ipython1.kernel.client`` importable in this process: this module."""
    package, kernel = ModuleType("ipython1"), ModuleType("ipython1.kernel")
    here = sys.modules[__name__]
    for module in (package, kernel):
        module.__path__ = []
    package.__dict__["kernel"] = kernel
    kernel.__dict__["client"] = here
    sys.modules.update(
        {"ipython1": package, "ipython1.kernel": kernel, "ipython1.kernel.client": here}
    )
