"""Stands in for ipengine: says that it is registered and waits for SIGTERM.

``FAKE_ENGINE`` (blank-separated words) changes what it does; a word ``x@N`` or ``x@N=value`` holds
only for the engine with the id N: ``die`` ends before registration, ``exit-after=S`` ends with 0
after S seconds, ``ignore-term`` survives SIGTERM, ``slow=S`` registers after S seconds, ``child``
leaves a child that ignores SIGTERM in the process group, ``mute`` never registers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from fake_common import Words, note_start


def take_id(profile: Path) -> int:
    """The lowest number no other fake engine of this profile has."""
    for number in range(1000):
        try:
            os.close(os.open(profile / f"engine-id-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return number
    raise RuntimeError("too many engines")


def main() -> int:
    """Register, then run until SIGTERM."""
    profile = Path(os.environ["IPP_PROFILE_DIR"])
    number = take_id(profile)
    words = Words("FAKE_ENGINE")
    mine = {word.removesuffix(f"@{number}"): value for word, value in words.items()}
    stop = threading.Event()

    def on_term(_number: int, _frame: FrameType | None) -> None:
        if "ignore-term" not in mine:
            stop.set()

    def on_user(signal_number: int, _frame: FrameType | None) -> None:
        (profile / f"engine-{number}-got-{signal_number}").touch()

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGUSR1, on_user)
    signal.signal(signal.SIGUSR2, on_user)
    note_start("engine")
    if "child" in mine:
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        subprocess.Popen([sys.executable, "-S", "-E", "-c", code])
    if "die" in mine:
        print(f"fake engine {number}: no such module", file=sys.stderr)
        return 7
    time.sleep(float(mine.get("slow", "0")))
    if "mute" not in mine:
        print(f"[IPEngine] Completed registration with id {number}", flush=True)
    stop.wait(float(mine["exit-after"]) if "exit-after" in mine else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
