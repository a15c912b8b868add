"""The example of graphs, priorities and limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import PEER_PYTHON, Cluster, run_example

EXAMPLE = "dag_and_priorities.py"


@pytest.mark.skipif(bool(PEER_PYTHON), reason="priorities and explanations need our controller")
def test_the_graph_overtakes_the_flood(cluster: Cluster) -> None:
    done = run_example(EXAMPLE, cluster.ipython_dir)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"^report is blocked: it waits for 2 tasks", done.stdout, re.MULTILINE)
    early = re.search(r"^of the flood, (\d+) of 200 tasks were done by then$", done.stdout, re.M)
    assert early
    assert int(early[1]) < 150
    assert "alarm: ImpossibleDependency\nslow: TaskTimeout\n" in done.stdout


def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    done = run_example(EXAMPLE, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no cluster to work on: ")
