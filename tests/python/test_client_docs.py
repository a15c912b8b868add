"""The code on the client's page of the guide, and its example, as they are printed."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ENGINES, PEER_PYTHON, Cluster, run_example

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "client.md"


def checked(block: str) -> str:
    """Turn the value in a comment behind an expression into an assertion."""
    lines = block.splitlines()
    for index, line in enumerate(lines):
        match = re.match(
            r"(?P<indent> *)(?P<target>\w+ = )?(?P<code>[^#]+?)  # (?P<value>.+)$", line
        )
        if match is None:
            continue
        try:
            ast.literal_eval(match["value"].partition(", in any")[0])
        except (ValueError, SyntaxError):
            continue
        value = match["value"].partition(", in any")[0]
        name = (match["target"] or "_value = ").removesuffix(" = ")
        lines[index] = (
            f"{match['indent']}{name} = {match['code']}; assert {name} == {value}, {name}"
        )
    return "\n".join(lines)


def test_the_guide_is_true(cluster: Cluster) -> None:
    assert ENGINES == 2, "the guide shows results of two engines"
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 10
    program = "\n".join(checked(block) for block in blocks)
    assert program.count("assert ") >= 12
    if PEER_PYTHON:
        pytest.skip("cancel and explain need our cluster")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"IPYTHONDIR": str(cluster.ipython_dir)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(bool(PEER_PYTHON), reason="it stops a call that runs")
def test_the_endless_search(cluster: Cluster) -> None:
    done = run_example("endless_search.py", cluster.ipython_dir)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = (
        "primes: [1000000007, 1000000009, 1000000021, 1000000033, 1000000087]\n"
        "hare won, stopped: [True]\n"
        "engines are free again: [1, 2]\n"
    )
    assert done.stdout.startswith(found)


def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    done = run_example("endless_search.py", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no cluster to work on: ")
