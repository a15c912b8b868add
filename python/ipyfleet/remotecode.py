"""Functions of this package that run on engines.

They travel by value, and belong to ``__main__``, so that there their globals are those of the
user. Engines of either kind run them, which is why they use nothing of this package. Docstrings
would travel with them.
"""

# ruff: noqa: D103

from __future__ import annotations

from typing import Any

__all__ = ["FUNCTIONS", "import_modules", "map_chunk", "pull", "push"]


def map_chunk(f: Any, *sequences: Any) -> list[Any]:
    return [f(*args) for args in zip(*sequences)]  # noqa: B905 - as the builtin map does


def push(**namespace: Any) -> None:
    names = {name: value for name, value in namespace.items() if name.isidentifier()}
    globals().update(names)
    for name in namespace.keys() - names.keys():
        # A target of an assignment such as "a[0]" or "a.b".
        globals()["_pushed_"] = namespace[name]
        exec(f"{name} = _pushed_", globals())
        del globals()["_pushed_"]


def pull(names: Any) -> Any:
    if isinstance(names, str):
        return eval(names, globals())
    return [eval(name, globals()) for name in names]


def import_modules(name: str, fromlist: Any) -> None:
    module = __import__(name, globals(), fromlist=fromlist)
    if fromlist:
        globals().update((each, getattr(module, each)) for each in fromlist)
    else:
        globals()[name.partition(".")[0]] = module


FUNCTIONS = (map_chunk, push, pull, import_modules)
for _function in FUNCTIONS:
    _function.__module__ = "__main__"
    _function.__annotations__ = {}
