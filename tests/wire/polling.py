"""Bounded waiting, the only place of the wire tests that sleeps; and text without colours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class WaitTimeoutError(AssertionError):
    """A condition did not become true in time; the message names the condition."""


def wait_until(
    condition: Callable[[], T], what: str, timeout: float = 10.0, interval: float = 0.03
) -> T:
    """Poll ``condition`` until it is truthy and return its value.

    Raises ``WaitTimeoutError`` naming ``what`` when ``timeout`` seconds have passed.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise WaitTimeoutError(f"not within {timeout:g} s: {what} (last value: {value!r})")
        time.sleep(interval)


def holds_for(condition: Callable[[], object], what: str, duration: float) -> None:
    """Assert that ``condition`` stays true during ``duration`` seconds."""
    deadline = time.monotonic() + duration
    while time.monotonic() < deadline:
        assert condition(), f"did not hold for {duration:g} s: {what}"
        time.sleep(0.03)


def plain(text: str) -> str:
    """``text`` without terminal escapes."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
