"""Functions that several tests have run on engines."""

from __future__ import annotations

import ipyfleet


@ipyfleet.interactive
def run_and_tell(path: str, seconds: float) -> int:
    """Leave a line for each run, sleep, return the pid."""
    import os
    import pathlib
    import time

    with pathlib.Path(path).open("a") as runs:
        runs.write("run\n")
    time.sleep(seconds)
    return os.getpid()
