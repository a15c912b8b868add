"""The example that attaches a Jupyter client to an engine."""

from __future__ import annotations

import re

import ipyfleet as ipp
from conftest import ENGINES, START_SECONDS, Cluster, run_example


def test_attach_jupyter(cluster: Cluster) -> None:
    with ipp.Client(cluster.file, timeout=20) as rc:
        rc.wait_for_engines(ENGINES, timeout=START_SECONDS)
    done = run_example("attach_jupyter.py", cluster.ipython_dir)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"attach with: jupyter console --existing /\S+/kernel-\d+\.json", lines[0])
    assert lines[1:] == [
        "completions of 'temp': temperature",
        "mean: 21.0",
        "seen by: frontend",
    ]
