"""What the fork server does in Python: import once what every engine of a set needs.

Runs before any thread exists. The engines are forks of that process and share its memory, as long
as nobody writes there; that is why the garbage collector is kept away from what exists by then.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence

# Loaded by IPython or by the shell only when they are first needed, which each engine does.
_LATE = (
    "IPython.core.completer",
    "IPython.core.magics",
    "IPython.core.ultratb",
    "IPython.extensions.storemagic",
    "IPython.utils.capture",
    "asyncio",
    "getpass",
    "ipyfleet.engine.shell",
    "ipyfleet.serialize",
    "pickle",
    "random",
)


def preload(names: Sequence[str]) -> list[str]:
    """Import the engine's shell and these modules.

    Returns
    -------
    list of str
        What could not be imported, and why; engines start without it.
    """
    gc.disable()
    problems: list[str] = []
    for name in (*_LATE, *names):
        try:
            importlib.import_module(name)
        except Exception as exc:
            if name in names:
                problems.append(f"{name} cannot be imported: {type(exc).__name__}: {exc}")
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        problems.append(
            f"a preloaded package has started {threads - 1} threads; they do not exist in the "
            "engines, and what relies on them may hang there"
        )
    gc.collect()
    gc.freeze()
    return problems


def after_fork(environment: Sequence[str]) -> None:
    """Make a fork an engine of its own: its environment, and random numbers that differ."""
    wanted = dict(entry.split("=", 1) for entry in environment if "=" in entry)
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    # `random` sees to itself after a fork; numpy's global generator does not.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    gc.enable()
