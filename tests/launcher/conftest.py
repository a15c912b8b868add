"""Fixtures of the launcher tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Sandbox, processes_of, wait_until


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A profile of its own with fake programs; nothing of it may run after the test."""
    box = Sandbox(tmp_path)
    yield box
    try:
        wait_until(lambda: not processes_of(box.profile), box.left_text(), timeout=2)
    finally:
        box.kill_everything()
