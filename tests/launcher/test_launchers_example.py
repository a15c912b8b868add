"""examples/launchers.sh: engines through a batch system that only the example knows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from .harness import bin_dir, processes_of, wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "launchers.sh"


def test_start_list_stop(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IPP_")}
    done = subprocess.run(
        ["sh", EXAMPLE],
        env=kept
        | {
            "PATH": f"{bin_dir()}{os.pathsep}{kept['PATH']}",
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "TMPDIR": str(tmp_path / "work"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.search(r"launchers-example +True +2 +Batch", done.stdout), done.stdout
    assert "engines 2, busy 0" in done.stdout
    assert " 0 failed, 0 warnings" in done.stdout
    assert done.stdout.endswith("stopped\n")
    profile = tmp_path / "ipython" / "profile_default"
    # This system cannot be asked: nobody waits for the job's end.
    wait_until(lambda: not processes_of(profile), "the job ends")
    assert [*(profile / "security").iterdir()] == []
    assert [*(tmp_path / "work").iterdir()] == []
