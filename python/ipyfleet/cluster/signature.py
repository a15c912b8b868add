"""Signatures of classes whose arguments are traits."""

# Traits and JSON have no types.
# pyright: standard

from __future__ import annotations

import inspect
from typing import Any, TypeVar, cast

from traitlets import HasTraits, Undefined

T = TypeVar("T", bound=type[HasTraits])


def signature_of_traits(cls: T) -> T:
    """Show the traits of a class as the arguments of its constructor."""
    parameters: list[inspect.Parameter] = []
    for name, trait in cast(Any, cls).class_traits().items():
        if name.startswith("_") or trait.metadata.get("nosignature"):
            continue
        value: Any = trait.default()
        parameters.append(
            inspect.Parameter(
                trait.metadata.get("alias", name),
                inspect.Parameter.KEYWORD_ONLY,
                default=None if value is Undefined else value,
            )
        )
    cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return cls
