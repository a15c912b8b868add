"""The example of engines that crash and come back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PEER_PYTHON, Cluster, run_example

EXAMPLE = "engine_life.py"


@pytest.fixture
def restarting(tmp_path: Path) -> Iterator[Cluster]:
    """Two engines that are started again after a crash, as those of ipcluster are."""
    cluster = Cluster(tmp_path).start(engines=0)
    for _ in range(2):
        cluster.start_engine("--restart=on-failure")
    yield cluster
    cluster.stop()


@pytest.mark.skipif(bool(PEER_PYTHON), reason="needs engines that are restarted")
def test_engines_come_back_and_keep_their_data(restarting: Cluster) -> None:
    done = run_example(EXAMPLE, restarting.ipython_dir)
    assert done.returncode == 0, done.stderr + restarting.logs()
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"the engines run /\S*python\S*", lines[0])
    assert lines[1:3] == ["a crash is an EngineError for who waits", "engine 0 is back"]
    assert lines[3] == "with retries: answered by another process: marker was there"
    assert lines[4:] == ["cancelled: True, and engine 1 keeps its data: 1000 items"]


def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    done = run_example(EXAMPLE, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no cluster to work on: ")
