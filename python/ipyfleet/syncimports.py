"""Import statements that run here and on engines."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import remotecode

if TYPE_CHECKING:
    from .directview import DirectView

__all__ = ["sync_imports"]

# From `sync_imports` by way of contextlib to the function with the `with` statement.
_FRAMES_UP = 2


@contextmanager
def sync_imports(view: DirectView, quiet: bool) -> Generator[None]:
    """Send the imports of the caller's ``with`` body to the engines of a view.

    Raises
    ------
    RemoteError
        At the end, if an import failed on an engine.
    """
    frame = inspect.currentframe()
    for _ in range(_FRAMES_UP):
        frame = frame and frame.f_back
    caller = frame
    import_here = builtins.__import__
    sent: dict[tuple[str, tuple[str, ...]], Any] = {}

    def import_everywhere(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        module = import_here(name, globals, locals, fromlist or (), level)
        key = (name, tuple(fromlist or ()))
        # What the imported module imports in turn comes by itself.
        here = inspect.currentframe()
        if here and here.f_back is caller and level <= 0 and key not in sent:
            if not quiet:
                what = f"{','.join(key[1])} from {name}" if fromlist else name
                print(f"importing {what} on engine(s)")
            sent[key] = view.apply_async(remotecode.import_modules, *key)
        return module

    builtins.__import__ = import_everywhere
    try:
        yield
    finally:
        builtins.__import__ = import_here
    for result in sent.values():
        result.get()
