"""What our programs ask when there are configuration files: ``python -m ipyfleet.config``.

The question is JSON on the standard input: program, profile_dir, arguments (without the program's
name) and perhaps config, the path of one more file. The answer is JSON on the standard output:
arguments in the place of the old ones, environment, notes, and instead of them text (to show, and
to end) or error. What configuration files print goes to the standard error.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from traitlets.config import Config

from .explain import help_of_traits, show
from .load import ConfigError, config_files, load_file
from .translate import (
    Translation,
    rename_old,
    split_arguments,
    subcommand_of,
    translate,
    unknown_traits,
)

_SHOW = ("--show-config", "--show-config-json")


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one question."""
    program = str(question["program"])
    given = [str(each) for each in question["arguments"]]
    if "--help-all" in given:
        return {"text": help_of_traits(program)}
    try:
        files = (
            [*config_files(program, str(question["profile_dir"]))]
            if question["profile_dir"]
            else []
        )
        if question.get("config"):
            files.append(Path(question["config"]))
        from_files = Config()
        for path in files:
            from_files.merge(load_file(path))
        from_line, rest = split_arguments(program, _without_config(given))
        notes: list[str] = []
        wrong = unknown_traits(rename_old(from_line, []), of_command_line=True)
        if wrong:
            raise ConfigError(f"unknown on the command line: {', '.join(wrong)} (see --help-all)")
        merged = rename_old(from_files, notes)
        merged.merge(rename_old(from_line, notes))
        if any(each in given for each in _SHOW):
            return {"text": show(merged, files, "--show-config-json" in given)}
        subcommand = subcommand_of(rest) if program == "ipcluster" else ""
        translation = translate(program, merged, subcommand)
        translation.notes[:0] = notes
        settings: dict[str, Any] = {}
        try:
            if subcommand in ("start", "engines", "doctor"):
                settings = _settings(merged, rest, translation)
        except ConfigError:
            if subcommand != "doctor":  # which looks at everybody's launchers
                raise
    except ConfigError as failure:
        return {"error": str(failure)}
    return {
        "arguments": _merge(translation, rest, program, subcommand),
        "environment": translation.environment,
        "notes": list(dict.fromkeys(translation.notes)),
        **settings,
    }


def _without_config(arguments: list[str]) -> list[str]:
    """Take --config out, which has been read."""
    kept: list[str] = []
    skip = False
    for each in arguments:
        if not skip and each != "--config" and not each.startswith("--config="):
            kept.append(each)
        skip = each == "--config"
    return kept


def _merge(translation: Translation, rest: list[str], program: str, subcommand: str) -> list[str]:
    """Put what the files say before what the command line says, which then counts."""
    databases = ("--dictdb", "--sqlitedb", "--mongodb", "--nodb", "--db", "--IPController.db_class")
    from_files = translation.arguments
    if any(each.partition("=")[0] in databases for each in rest):
        from_files = [each for each in from_files if not each.startswith("--db=")]
    if program != "ipcluster":
        return [*from_files, *rest]
    before, after = rest, list[str]()
    if "--" in rest:
        at = rest.index("--")
        before, after = rest[:at], rest[at + 1 :]
    before = [each for each in before if each != subcommand]
    handed = [*translation.controller_arguments, *after]
    return [subcommand, *from_files, *before, *(["--", *handed] if handed else [])]


def _settings(config: Config, rest: list[str], translation: Translation) -> dict[str, Any]:
    """Return the settings of the chosen launchers."""
    from ..cluster.nativelauncher import NativeLauncher
    from ..cluster.registry import find

    chosen: dict[str, Any] = {}
    for role, option in (("controller", "--controller"), ("engine", "--engines")):
        given = [*translation.arguments, *_with_values(rest)]
        names = [each.partition("=")[2] for each in given if each.startswith(f"{option}=")]
        try:
            cls = find(role, names[-1] if names else "local")  # type: ignore[arg-type]
        except ValueError as failure:
            raise ConfigError(str(failure)) from None
        if not issubclass(cls, NativeLauncher):
            raise ConfigError(
                f"{names[-1]} is written in Python; ipcluster cannot run it, ipyfleet.Cluster can"
            )
        chosen[f"{role}_settings"] = cls(config=config).settings()
    return chosen


def _with_values(arguments: list[str]) -> list[str]:
    """Write ``--option value`` as ``--option=value``."""
    joined: list[str] = []
    for each in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and each[:1] != "-":
            joined[-1] += f"={each}"
        else:
            joined.append(each)
    return joined


def main() -> int:
    """Answer the question on the standard input."""
    question = json.load(sys.stdin)
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        reply = answer(question)
    json.dump(reply, out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
