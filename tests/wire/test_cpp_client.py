"""The C++ client against every pairing; what it checks is in cpp_probe.cpp."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .stack import Stack

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(os.environ.get("IPF_BUILD_DIR", ROOT / "build" / "dev")) / "tests" / "cpp_probe"
CHECKS = ("calls", "arrays", "maps", "tasks", "errors", "execute", "broadcast", "stopping")
OURS = ("cancelling",)

pytestmark = pytest.mark.skipif(
    not PROBE.exists(), reason=f"{PROBE} is not built; scripts/test unit builds it"
)


def test_the_cpp_client_works(stack: Stack) -> None:
    ours = stack.pairing.our_engines
    command = [PROBE, stack.connection_file("client"), *([] if ours else ["theirs"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("\n")[:-1] == [
        f"{name} ok" for name in (*CHECKS, *(OURS if ours else ()), "end")
    ]
