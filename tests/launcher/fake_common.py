"""What the fake controller and the fake engine share."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path


class Words(dict[str, str]):
    """``a b=1`` in an environment variable as ``{"a": "", "b": "1"}``."""

    def __init__(self, variable: str) -> None:
        pairs = (word.partition("=") for word in os.environ.get(variable, "").split())
        super().__init__({name: value for name, _, value in pairs})


def note_start(role: str) -> None:
    """Write down how this process was started, for the test to check."""
    profile = Path(os.environ["IPP_PROFILE_DIR"])
    note = {
        "argv": sys.argv[1:],
        "environment": dict(os.environ),
        "session": os.getsid(0),
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
        "stdin": os.readlink("/proc/self/fd/0"),
        "stdout": os.readlink("/proc/self/fd/1"),
        "descriptors": [int(fd) for fd in os.listdir("/proc/self/fd")],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    }
    unfinished = profile / f"{role}-{os.getpid()}.unfinished"
    unfinished.write_text(json.dumps(note))
    unfinished.rename(unfinished.with_suffix(".note"))
