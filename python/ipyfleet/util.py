"""Small helpers that users of IPython Parallel import from ``ipyparallel.util``."""

from __future__ import annotations

from datetime import datetime, timezone

from .canning import interactive
from .display import progress

__all__ = ["interactive", "progress", "utc", "utcnow"]

utc = timezone.utc


def utcnow() -> datetime:
    """Return the time, as an aware datetime."""
    return datetime.now(utc)
