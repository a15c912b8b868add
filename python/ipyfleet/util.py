"""Small helpers that users of IPython Parallel import from ``ipyparallel.util``."""

from __future__ import annotations

from .canning import interactive
from .display import progress

__all__ = ["interactive", "progress"]
