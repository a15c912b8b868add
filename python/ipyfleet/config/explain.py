"""What ``--show-config`` and ``--help-all`` print."""

# Traits have no types.
# pyright: standard

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from traitlets.config import Config

from .table import DEPRECATED, MEANINGS, Environment, Flag, Nothing, Only, Option, Ports
from .translate import as_json, plain

__all__ = ["help_of_traits", "show", "template"]


_NO_EFFECT = "no effect"


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
    return f"{_NO_EFFECT}: {meaning.why}" if meaning.why else "arguments of the controller"


def _traits(program: str) -> Iterator[tuple[str, str]]:
    """Return the traits of a program, ``Class.trait``, each with what it means."""
    from ..cluster import launcher, launchers

    prefixes = {
        "ipcontroller": ("IPController", "Heart", "TaskS", "DictDB", "SQLite", "Mongo", "Session"),
        "ipengine": ("IPEngine", "Session"),
        "ipcluster": ("IPCluster", "Cluster"),
    }[program]
    shown = (*prefixes, "Application", "Base", "ProfileDir")
    for name, meaning in MEANINGS.items():
        if name.startswith(shown):
            yield name, _explain(meaning)
    if program == "ipcluster":
        for module in (launcher, launchers):
            for cls_name, cls in sorted(vars(module).items()):
                if cls_name.endswith("Launcher") and cls.__module__ == module.__name__:
                    for trait_name, trait in sorted(cls.class_own_traits(config=True).items()):
                        yield f"{cls_name}.{trait_name}", trait.help


def help_of_traits(program: str) -> str:
    """Return all traits of a program, and what they mean."""
    lines = [
        "Traits, for configuration files (c.Class.trait = value) and for the command line",
        "(--Class.trait=value):",
        "",
    ]
    for name, meaning in _traits(program):
        lines += [f"--{name}=<value>", f"    {meaning}"]
    if program != "ipcluster":
        lines.append("")
    lines += ["", "Old names:"]
    lines += [f"    {old} -> {new}" for old, new in DEPRECATED.items()]
    return "\n".join(lines) + "\n"


def template(program: str) -> str:
    """Return a configuration file of a program in which nothing is set yet."""
    lines = [
        f"# Configuration of {program}: Python, read at each start. To set one, take",
        f"# the # before it away; {program} --show-config tells what is set.",
        "",
        "c = get_config()  # noqa",
    ]
    shown = ""
    for name, meaning in _traits(program):
        if meaning.startswith(_NO_EFFECT):
            continue
        if (section := name.partition(".")[0]) != shown:
            shown = section
            lines += ["", f"# ---- {section} " + "-" * (93 - len(section))]
        lines += ["", *textwrap.wrap(meaning, 98, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"# c.{name} = ...")
    return "\n".join(lines) + "\n"
