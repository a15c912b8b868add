"""From configuration to the options of our programs."""

# Traits have no types.
# pyright: standard

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from .load import ConfigError
from .table import (
    ALIASES,
    BASES,
    DEPRECATED,
    MEANINGS,
    PASSED_ON,
    Environment,
    Flag,
    Nothing,
    Only,
    Option,
    Ports,
)

__all__ = ["Translation", "rename_old", "split_arguments", "translate", "unknown_traits"]

_TRAIT = re.compile(r"--?([A-Z]\w*)\.(\w+)(?:=(.*))?", re.DOTALL)
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")
# Classes whose traits mean something to a program; others are left to other programs.
_CLASSES_OF = {
    "ipcontroller": ("IPController", "HeartMonitor", "TaskScheduler", "DictDB", "SQLiteDB"),
    "ipengine": ("IPEngine",),
    "ipcluster": ("IPClusterStart", "IPCluster", "Cluster"),
}
_COMMON = ("Application", "BaseIPythonApplication", "BaseParallelApplication", "ProfileDir")
# A subcommand of ipcluster has options that others have not.
_STARTS = ("Cluster", "IPClusterStart", "IPClusterEngines")
# What the doctor wants to know of them.
_LAUNCHERS = ("controller_launcher_class", "engine_launcher_class")
_SUBCOMMANDS = ("start", "stop", "engines", "list", "clean", "doctor", "top")


@dataclass
class Translation:
    """What a program is to do with its configuration.

    Attributes
    ----------
    arguments
        Options, to stand before those of the command line, which therefore beat them.
    controller_arguments
        What ipcluster hands to the controller.
    environment
        Secrets.
    notes
        What the user should know, one line each.
    """

    arguments: list[str] = field(default_factory=list[str])
    controller_arguments: list[str] = field(default_factory=list[str])
    environment: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])


def plain(value: Any) -> Any:
    """Return the value that a trait of a configuration has."""
    if isinstance(value, LazyConfigValue):
        return value.get_value([])  # what was appended to a default that is not known here
    return value


def rename_old(config: Config, notes: list[str]) -> Config:
    """Return a configuration in which old names are those of today."""
    renamed = Config()
    for cls, section in config.items():
        for trait, value in cast("dict[str, Any]", section).items():
            old = f"{cls}.{trait}"
            new = DEPRECATED.get(old) or f"{DEPRECATED.get(cls, cls)}.{trait}"
            if new != old:
                notes.append(f"c.{old} is an old name; use c.{new}")
            new_cls, _, new_trait = new.partition(".")
            if new == old or new_trait not in config.get(new_cls, {}):
                renamed[new_cls][new_trait] = value
    return renamed


def split_arguments(program: str, arguments: Iterable[str]) -> tuple[Config, list[str]]:
    """Take ``--Class.trait=value`` and options that only ipyparallel has out of a command line."""
    config = Config()
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            rest += [argument, *left]
            break
        found = _TRAIT.fullmatch(argument)
        name, equals, value = argument.partition("=")
        alias = ALIASES[program].get(name)
        if found and f"{found[1]}.{found[2]}" not in _NATIVE_TRAITS:
            cls, trait = found[1], found[2]
            text = found[3]
        elif alias:
            cls, _, trait = alias.partition(".")
            text = value if equals else None
        else:
            rest.append(argument)
            continue
        if text is None:
            flag = isinstance(MEANINGS.get(f"{cls}.{trait}"), Flag)
            flag = flag or name in ("--init", "--log-to-file", "--clean-logs")
            text = "True" if flag else next(left, "")
        config[cls][trait] = _value_of(text)
    return config, rest


# The engine's own parser takes these, and hides a key from ps.
_NATIVE_TRAITS = frozenset({"Session.key"})


def _value_of(text: str) -> Any:
    """Read a value of a command line: a number or a list where it looks like one, else a text."""
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _meaning(cls: str, trait: str) -> Any:
    while cls:
        found = MEANINGS.get(f"{cls}.{trait}")
        if found is not None:
            return found
        cls = BASES.get(cls, "")
    return None


def _known_traits(cls: str) -> list[str]:
    names: list[str] = []
    while cls:
        names += [key.partition(".")[2] for key in MEANINGS if key.startswith(f"{cls}.")]
        cls = BASES.get(cls, "")
    return names


def _is_true(value: Any, where: str) -> bool:
    if isinstance(value, bool | int):
        return bool(value)
    if str(value).lower() in _TRUE:
        return True
    if str(value).lower() in _FALSE:
        return False
    raise ConfigError(f"c.{where} must be True or False, not {value!r}")


def _text(value: Any) -> str:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, bytes):
        return value.decode()
    return str(value)


def _ports(value: Any, where: str) -> Iterator[str]:
    items = value if isinstance(value, list | tuple) else str(value).split(",")
    for item in cast("Iterable[Any]", items):
        text = str(item).strip()
        if not re.fullmatch(r"\d{1,5}(-\d{1,5})?", text):
            raise ConfigError(f"c.{where}: {text!r} is no port")
        if text != "0":
            yield text


def _apply(meaning: Any, where: str, value: Any, to: Translation) -> None:
    if isinstance(meaning, Option):
        to.arguments.append(f"{meaning.name}={_text(value)}")
    elif isinstance(meaning, Flag):
        chosen = meaning.name if _is_true(value, where) else meaning.otherwise
        if chosen:
            to.arguments.append(chosen)
    elif isinstance(meaning, Ports):
        ports = list(_ports(value, where))
        before = [each for each in to.arguments if each.startswith(f"{meaning.name}=")]
        for each in before:
            to.arguments.remove(each)
            ports.insert(0, each.partition("=")[2])
        if ports:
            to.arguments.append(f"{meaning.name}={','.join(ports)}")
    elif isinstance(meaning, Environment):
        first = value[0] if isinstance(value, list | tuple) and value else value
        text = "1" if first is True else "" if first in (False, None, []) else _text(first)
        to.environment[meaning.variable] = text
    elif isinstance(meaning, Only):
        if value not in meaning.values:
            raise ConfigError(f"c.{where} = {value!r} cannot be had here: {meaning.why}")
    elif isinstance(meaning, Nothing):
        to.notes.append(f"c.{where} has no effect: {meaning.why}")


def _relevant(program: str, cls: str) -> bool:
    if program == "ipcluster" and (cls.startswith("IPCluster") or cls.endswith("Launcher")):
        return True
    if program != "ipcluster" and cls in ("Session", "MongoDB"):
        return True
    return cls in (*_COMMON, *_CLASSES_OF[program])


def _known_classes() -> set[str]:
    from ..cluster import launcher, launchers

    ours = {n for m in (launcher, launchers) for n in vars(m) if n.endswith("Launcher")}
    return {key.partition(".")[0] for key in MEANINGS} | set(BASES) | PASSED_ON | ours


def unknown_traits(config: Config, of_command_line: bool = False) -> list[str]:
    """Return the traits that nobody knows, with what may have been meant."""
    from ..cluster import launcher, launchers

    found: list[str] = []
    classes = _known_classes()
    for cls, section in config.items():
        if cls not in classes:
            # A file may be about other programs, too; a command line is not.
            near = difflib.get_close_matches(cls, classes, 1, 0.8)
            if near or of_command_line:
                found.append(f"c.{cls}" + (f" (c.{near[0]}?)" if near else ""))
            continue
        known = _known_traits(cls)
        owner: Any = getattr(launchers, cls, None) or getattr(launcher, cls, None)
        if owner is not None:
            known = list(owner.class_traits(config=True))
        for trait in cast("dict[str, Any]", section):
            if trait in known or cls in PASSED_ON or trait.startswith("_"):
                continue
            near = difflib.get_close_matches(trait, known, 1, 0.7)
            found.append(f"c.{cls}.{trait}" + (f" ({near[0]}?)" if near else ""))
    return found


def translate(program: str, config: Config, subcommand: str = "") -> Translation:
    """Return the options that a configuration means.

    Raises
    ------
    ConfigError
        If a value cannot be had.
    """
    to = Translation()
    config = rename_old(config, to.notes)
    unknown = unknown_traits(config)
    if unknown:
        to.notes.append(f"nothing is known of {', '.join(unknown)}")
    for cls, section in config.items():
        if program == "ipengine" and cls in PASSED_ON:
            for trait, value in cast("dict[str, Any]", section).items():
                to.arguments.append(f"--{cls}.{trait}={_text(plain(value))}")
            continue
        if not _relevant(program, cls) or not _of_subcommand(program, cls, subcommand):
            continue
        for trait, value in cast("dict[str, Any]", section).items():
            if subcommand == "doctor" and cls in _STARTS and trait not in _LAUNCHERS:
                continue
            value = plain(value)
            where = f"{cls}.{trait}"
            if where == "Cluster.controller_args":
                to.controller_arguments += [str(each) for each in value]
                continue
            meaning = _meaning(cls, trait)
            if program == "ipcontroller" and where in ("Session.session", "Session.username"):
                meaning = Nothing("the controller's messages bear its own name")
            if meaning is not None and value is not None:
                _apply(meaning, where, value, to)
    return to


def _of_subcommand(program: str, cls: str, subcommand: str) -> bool:
    if program != "ipcluster":
        return True
    if cls in _STARTS:
        return subcommand in ("start", "engines", "doctor")
    if cls in ("IPClusterStop", "IPClusterList", "IPClusterClean"):
        return subcommand == cls.removeprefix("IPCluster").lower()
    return True


def subcommand_of(arguments: Iterable[str]) -> str:
    """Return the subcommand of an ipcluster command line; ``ipcluster -n 4`` means start."""
    words = list(arguments)
    if "--" in words:
        words = words[: words.index("--")]
    return next((word for word in words if word in _SUBCOMMANDS), "start")


def as_json(config: Config) -> str:
    """Return a configuration as JSON, keys hidden."""
    shown = {
        cls: {t: "(hidden)" if "key" in t.lower() else plain(v) for t, v in dict(section).items()}
        for cls, section in sorted(config.items())
        if section
    }
    return json.dumps(shown, indent=2, default=_text)
