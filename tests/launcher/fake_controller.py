"""Stands in for ipcontroller: writes connection files as it does, without ZeroMQ.

``FAKE_CONTROLLER`` (blank-separated words) changes what it does:
``silent`` writes no connection files, ``exit=N`` ends at once, ``ignore-term`` survives SIGTERM,
``slow=S`` waits S seconds before it writes the files, ``exit-after=S`` ends with 0 after S seconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from fake_common import Words, note_start


def write_private(path: Path, info: dict[str, object]) -> None:
    """Write a 0600 file in one step, as the real controller does."""
    temporary = path.with_suffix(f".{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(info, file, indent=2)
    temporary.rename(path)


def main() -> int:
    """Run until SIGTERM; removes its files at the end."""
    words = Words("FAKE_CONTROLLER")
    note_start("controller")
    if "exit" in words:
        print("fake controller: cannot bind the port", file=sys.stderr)
        return int(words["exit"])
    profile = Path(os.environ["IPP_PROFILE_DIR"])
    cluster_id = os.environ["IPP_CLUSTER_ID"]
    dashed = f"-{cluster_id}" if cluster_id else ""
    stop = threading.Event()

    def on_term(_number: int, _frame: FrameType | None) -> None:
        if "ignore-term" not in words:
            stop.set()

    signal.signal(signal.SIGTERM, on_term)
    listener = socket.create_server(("127.0.0.1", 0))
    time.sleep(float(words.get("slow", "0")))
    files = [profile / "security" / f"ipcontroller{dashed}-{r}.json" for r in ("client", "engine")]
    if "silent" not in words:
        info = {"interface": "tcp://127.0.0.1", "registration": listener.getsockname()[1]}
        for file in files:
            write_private(file, {**info, "key": "secret", "location": socket.gethostname()})
    stop.wait(float(words["exit-after"]) if "exit-after" in words else None)
    for file in files:
        file.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
