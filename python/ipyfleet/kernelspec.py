"""``python -m ipyfleet.kernelspec install``: make the ipyfleet kernel known to Jupyter.

An installed package is known already in its own environment; this is for a Jupyter that runs
elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .engine.json_text import Json

NAME = "ipyfleet"


def kernel_json(executable: str = sys.executable, display_name: str | None = None) -> Json:
    """Return the kernel specification for one Python."""
    version = f"Python {sys.version_info[0]}"
    return {
        "argv": [executable, "-m", "ipyfleet.kernel", "-f", "{connection_file}"],
        "display_name": display_name or f"{version} (ipyfleet)",
        "language": "python",
        "metadata": {"debugger": True},
    }


def write_spec(directory: Path, spec: dict[str, Any]) -> Path:
    """Write a specification into a directory of its own; return the file."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "kernel.json"
    text = json.dumps(spec, indent=1) + "\n"
    temporary = file.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
    return file


def user_data_dir() -> Path:
    """Return where Jupyter looks for what a user has installed."""
    named = os.environ.get("JUPYTER_DATA_DIR")
    if named:
        return Path(named)
    share = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(share) / "jupyter"


def install(prefix: str | None, user: bool, name: str, display_name: str | None) -> Path:
    """Install the specification; return its file."""
    data = user_data_dir() if user else Path(prefix or sys.prefix) / "share" / "jupyter"
    return write_spec(data / "kernels" / name, kernel_json(display_name=display_name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ipyfleet.kernelspec", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("install", help="write kernel.json where Jupyter looks for it")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="for this user, in any environment")
    where.add_argument("--sys-prefix", action="store_true", help="in this environment (default)")
    where.add_argument("--prefix", help="in another environment")
    command.add_argument("--name", default=NAME, help=f"name of the kernel ({NAME})")
    command.add_argument("--display-name", help="name that frontends show")
    options = parser.parse_args(arguments)
    try:
        file = install(options.prefix, options.user, options.name, options.display_name)
    except OSError as failure:
        print(f"cannot install the kernel: {failure}", file=sys.stderr)
        return 1
    print(f"installed {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
