#!/usr/bin/env python3
"""job.exe of Windows HPC as far as the launcher uses it; submit really runs the tasks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SITE = Path(os.environ["FAKE_SITE"])
SPACE = "{http://schemas.microsoft.com/HPCS2008/scheduler/}"


def running(pid: str) -> bool:
    """Whether the process lives; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def submit(options: dict[str, str]) -> None:
    root = ElementTree.parse(options["/jobfile"]).getroot()
    job = len(list(SITE.glob("hpc.*"))) + 1
    pids = []
    for task in root.iter(f"{SPACE}Task"):
        variables = {
            str(each.findtext(f"{SPACE}Name")): str(each.findtext(f"{SPACE}Value"))
            for each in task.iter(f"{SPACE}Variable")
        }
        with Path(task.attrib["StdOutFilePath"]).open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {task.attrib['CommandLine']}"],
                cwd=task.attrib["WorkDirectory"],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pids.append(str(process.pid))
    (SITE / f"hpc.{job}").write_text(" ".join(pids))
    print(f"Job has been submitted. ID: {job}.")


def main() -> None:
    action, *rest = sys.argv[1:]
    options = dict(each.split(":", 1) for each in rest if each.startswith("/"))
    assert options["/scheduler"] == "HEAD"
    if action == "submit":
        return submit(options)
    job = rest[0]
    pids = (SITE / f"hpc.{job}").read_text().split()
    if action == "cancel":
        for pid in pids:
            if running(pid):
                os.kill(int(pid), signal.SIGTERM)
    else:
        assert action == "listtasks"
        for index, pid in enumerate(pids, 1):
            state = "Running" if running(pid) else "Canceled"
            print(f"Task Id       : {job}.{index}\nState         : {state}\n")
    return None


if __name__ == "__main__":
    main()
