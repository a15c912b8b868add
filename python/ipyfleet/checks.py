"""Checks of arguments where users give them; type hints bind nobody."""

from __future__ import annotations

from types import UnionType
from typing import Any

__all__ = ["require_type"]


def require_type(
    value: object,
    kinds: type[Any] | UnionType,
    what: str,
    failure: type[Exception] = TypeError,
) -> None:
    """Refuse a value of another type.

    Parameters
    ----------
    value
        The argument.
    kinds
        What it may be.
    what
        The beginning of the message, such as "names are str".
    failure
        What to raise.

    Raises
    ------
    TypeError
        Or `failure`, if it is something else.
    """
    if not isinstance(value, kinds):
        raise failure(f"{what}, not {value!r}")
