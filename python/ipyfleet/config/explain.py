"""What ``--show-config`` and ``--help-all`` print."""

# Traits have no types.
# pyright: standard

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from traitlets.config import Config

from .table import DEPRECATED, MEANINGS, Environment, Flag, Nothing, Only, Option, Ports
from .translate import as_json, plain

__all__ = ["help_of_traits", "show"]


def show(config: Config, files: Sequence[Path], as_text_of_json: bool) -> str:
    """Return what is configured, and where it stands; keys are hidden."""
    if as_text_of_json:
        return as_json(config) + "\n"
    lines = [f"# {path}" for path in files] or ["# no configuration file"]
    for cls, section in sorted(config.items()):
        traits: dict[str, Any] = dict(section)
        for trait, value in sorted(traits.items()):
            shown = "(hidden)" if "key" in trait.lower() else repr(plain(value))
            lines.append(f"c.{cls}.{trait} = {shown}")
    return "\n".join(lines) + "\n"


def _explain(meaning: Any) -> str:
    if isinstance(meaning, Option | Ports):
        return f"{meaning.name}=..."
    if isinstance(meaning, Flag):
        return meaning.name
    if isinstance(meaning, Environment):
        return f"${meaning.variable}"
    if isinstance(meaning, Only):
        return f"only {' or '.join(repr(v) for v in meaning.values if v)}: {meaning.why}"
    assert isinstance(meaning, Nothing)
    return f"no effect: {meaning.why}" if meaning.why else "arguments of the controller"


def help_of_traits(program: str) -> str:
    """Return all traits of a program, and what they mean."""
    from ..cluster import launcher, launchers

    prefixes = {
        "ipcontroller": ("IPController", "Heart", "TaskS", "DictDB", "SQLite", "Mongo", "Session"),
        "ipengine": ("IPEngine", "Session"),
        "ipcluster": ("IPCluster", "Cluster"),
    }[program]
    shown = (*prefixes, "Application", "Base", "ProfileDir")
    lines = [
        "Traits, for configuration files (c.Class.trait = value) and for the command line",
        "(--Class.trait=value):",
        "",
    ]
    for name, meaning in MEANINGS.items():
        if name.startswith(shown):
            lines += [f"--{name}=<value>", f"    {_explain(meaning)}"]
    if program == "ipcluster":
        for module in (launcher, launchers):
            for cls_name, cls in sorted(vars(module).items()):
                if cls_name.endswith("Launcher") and cls.__module__ == module.__name__:
                    for trait_name, trait in sorted(cls.class_own_traits(config=True).items()):
                        lines += [f"--{cls_name}.{trait_name}=<value>", f"    {trait.help}"]
    else:
        lines.append("")
    lines += ["", "Old names:"]
    lines += [f"    {old} -> {new}" for old, new in DEPRECATED.items()]
    return "\n".join(lines) + "\n"
