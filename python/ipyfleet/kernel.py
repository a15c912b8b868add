"""``python -m ipyfleet.kernel``: become a Jupyter kernel in the environment of this Python.

Kernel specifications start kernels this way, because it needs no path: Jupyter puts its own Python
in the place of ``python``, and the `ipengine` program lies beside that. Options are those of
``ipengine``.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path


def find_engine() -> Path:
    """Return the ``ipengine`` program of this environment.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    places = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    for place in places:
        if os.access(place / "ipengine", os.X_OK):
            return place / "ipengine"
    found = shutil.which("ipengine")
    if found is None:
        tried = ", ".join(str(place) for place in places)
        raise FileNotFoundError(
            f"there is no ipengine program in {tried} or on PATH:"
            f" install ipyfleet for {sys.executable}"
        )
    return Path(found)


def main() -> None:
    """Replace this process by the kernel."""
    try:
        program = find_engine()
    except FileNotFoundError as failure:
        sys.exit(f"ipyfleet.kernel: {failure}")
    environment = dict(os.environ)
    # What is active where Jupyter was started need not be what this kernel is for.
    environment.pop("VIRTUAL_ENV", None)
    if sys.prefix != sys.base_prefix:
        environment["VIRTUAL_ENV"] = sys.prefix
    os.execve(program, [str(program), "--kernel", *sys.argv[1:]], environment)


if __name__ == "__main__":
    main()
