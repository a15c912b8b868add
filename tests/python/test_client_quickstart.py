"""The example that the README begins with."""

from __future__ import annotations

import os
import re
from pathlib import Path

import ipyfleet as ipp
import pytest
from conftest import ENGINES, START_SECONDS, Cluster, run_example

EXAMPLE = "quickstart.py"


def test_quickstart_counts_and_compares(cluster: Cluster) -> None:
    with ipp.Client(cluster.file, timeout=20) as rc:
        rc.wait_for_engines(ENGINES, timeout=START_SECONDS)
        pids = sorted(rc[:].apply_sync(os.getpid))
    done = run_example(EXAMPLE, cluster.ipython_dir)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"^ +[\d,]+  self$", done.stdout, re.MULTILINE)
    assert len(re.findall(r"^ *[\d,]+  \w+$", done.stdout, re.MULTILINE)) == 20
    assert f"engine pids: {' '.join(map(str, pids))}\n" in done.stdout
    assert re.search(rf"^{ENGINES} engines: +[\d.]+ s, [\d.]+ times as fast$", done.stdout, re.M)


@pytest.mark.parametrize("args", [(), ("--profile", "other"), ("--cluster-id", "x")])
def test_without_a_cluster_it_says_how_to_start_one(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = run_example(EXAMPLE, tmp_path, *args)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no cluster is running; start one with: ipcluster start")
    assert done.stderr.count("\n") == 1
    assert " ".join(args) in done.stderr


def test_help(tmp_path: Path) -> None:
    done = run_example(EXAMPLE, tmp_path, "--help")
    assert done.returncode == 0
    for option in ("--profile", "--cluster-id", "--peer-client"):
        assert option in done.stdout
