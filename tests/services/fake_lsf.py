#!/usr/bin/env python3
"""bsub, bjobs and bkill, as far as the launcher uses them: bsub really runs the script it reads.

State is in $FAKE_SITE: the script, and for each task its process group and exit status.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

SITE = Path(os.environ["FAKE_SITE"])


def running(task: Path) -> bool:
    """Whether the process of a task lives; a zombie does not."""
    try:
        stat = Path(f"/proc/{task.read_text()}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def bsub() -> None:
    script = sys.stdin.read()
    directives = re.findall(r"^#BSUB (.*)$", script, re.MULTILINE)
    job = len(list(SITE.glob("script.*"))) + 1
    file = SITE / f"script.{job}"
    file.write_text(script)
    options = dict(line.split(" ", 1) for line in directives)
    known = {"-J", "-o", "-q", "-W"}
    assert set(options) <= known, f"unknown directives {set(options) - known}"
    array = re.fullmatch(r'"(.*)\[1-(\d+)\]"', options["-J"])
    for index in range(1, int(array.group(2)) + 1) if array else [0]:
        # The wrapper stays and notes how the task has ended.
        task, ended = SITE / f"task.{job}.{index}", SITE / f"exit.{job}.{index}"
        runner = (
            "import subprocess, pathlib\n"
            f"p = subprocess.Popen(['/bin/sh', {str(file)!r}])\n"
            f"pathlib.Path({str(task)!r}).write_text(str(p.pid))\n"
            "s = p.wait()\n"
            f"pathlib.Path({str(ended)!r}).write_text(str(s if s >= 0 else 128 - s))\n"
        )
        with Path(options["-o"].replace("%I", str(index))).open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", runner],
                env={**os.environ, "LSB_JOBINDEX": str(index), "LSB_JOBID": str(job)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    print(f"Job <{job}> is submitted to queue <{options.get('-q', 'normal')}>.")


def bjobs() -> None:
    assert sys.argv[1:5] == ["-a", "-noheader", "-o", "jobindex stat exit_code delimiter='|'"]
    job = sys.argv[5]
    if not (SITE / f"script.{job}").exists():
        sys.exit(f"Job <{job}> is not found")
    for task in sorted(SITE.glob(f"task.{job}.*")):
        index = task.name.rpartition(".")[2]
        ended = SITE / f"exit.{job}.{index}"
        if running(task) or not ended.exists():
            print(f"{index}|RUN|-")
        else:
            code = ended.read_text()
            print(f"{index}|DONE|-" if code == "0" else f"{index}|EXIT|{code}")


def bkill() -> None:
    arguments = sys.argv[1:]
    number = signal.SIGTERM
    if arguments[0] == "-s":
        word = arguments[1]
        number = signal.Signals(int(word)) if word.isdigit() else signal.Signals[f"SIG{word}"]
        arguments = arguments[2:]
    match = re.fullmatch(r"(\d+)(?:\[(\d+)\])?", arguments[0])
    assert match, arguments
    pattern = f"task.{match.group(1)}.{match.group(2) or '*'}"
    for task in SITE.glob(pattern):
        if running(task):
            os.kill(int(task.read_text()), number)


if __name__ == "__main__":
    {"bsub": bsub, "bjobs": bjobs, "bkill": bkill}[os.environ["FAKE_NAME"]]()
