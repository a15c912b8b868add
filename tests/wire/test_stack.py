"""The alarms of the stack itself must ring: survivors, litter, early ends, missing binaries."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from . import pairings, procs
from .pairings import REAL, BinaryMissingError
from .polling import WaitTimeoutError, wait_until
from .stack import ACTIVE, Stack, StackError


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """An empty stack with short graces."""
    monkeypatch.setattr(f"{__package__}.stack._GRACE", {"real": 0.5})
    return Stack(tmp_path, REAL)


def spawn_python(stack: Stack, code: str, name: str = "engine-x") -> None:
    """Run ``code`` as a process of the stack and wait until it says that it is ready."""
    proc = stack.spawn(name, "real", [sys.executable, "-uc", code])
    wait_until(lambda: "ready" in proc.text(), "the script is ready")


def test_a_clean_stop_is_silent(stack: Stack) -> None:
    spawn_python(stack, "print('ready'); import time; time.sleep(60)")
    stack.stop()
    assert stack not in ACTIVE


def test_a_detached_child_is_found_and_killed(stack: Stack) -> None:
    child = "import time; time.sleep(60)"
    spawn_python(
        stack,
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)\n"
        "print('ready'); time.sleep(60)",
    )
    wait_until(lambda: len(stack.processes()) == 2, "parent and child")
    with pytest.raises(StackError, match="survived the stop"):
        stack.stop()
    assert procs.stack_processes(stack.token) == []


def test_a_process_that_ignores_sigterm_is_reported_and_killed(stack: Stack) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(60)"
    spawn_python(stack, code)
    with pytest.raises(StackError, match="still runs"):
        stack.stop()
    assert procs.stack_processes(stack.token) == []


def test_a_temporary_file_is_reported(stack: Stack) -> None:
    spawn_python(stack, "import tempfile; tempfile.mkstemp(); print('ready')")
    with pytest.raises(StackError, match="left behind"):
        stack.stop()


def test_a_shared_memory_file_with_a_pid_is_reported(stack: Stack) -> None:
    code = "import os; open(f'/dev/shm/wire-{os.getpid()}', 'w').close(); print('ready')"
    spawn_python(stack, code)
    litter = Path(f"/dev/shm/wire-{stack.procs[0].pid}")
    try:
        with pytest.raises(StackError, match="left behind: /dev/shm"):
            stack.stop()
    finally:
        litter.unlink()


def test_a_controller_that_ends_early_is_an_error_with_its_log(stack: Stack) -> None:
    proc = stack.spawn("controller-0", "real", [sys.executable, "-c", "raise SystemExit('oh')"])
    with pytest.raises(StackError, match=r"(?s)ended with status 1.*oh"):
        stack.wait_for_files(proc)
    stack.stop()


def test_waiting_names_what_it_waited_for() -> None:
    with pytest.raises(WaitTimeoutError, match=r"not within 0\.05 s: the moon"):
        wait_until(lambda: False, "the moon", 0.05)


def test_a_missing_binary_is_an_error_not_a_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPF_BIN_DIR", str(tmp_path))
    with pytest.raises(BinaryMissingError, match="does not exist"):
        pairings.our_binary("ipcontroller")
    script = tmp_path / "ipcontroller"
    script.write_text("#!/usr/bin/python3\nfrom ipyparallel.apps import main\n")
    with pytest.raises(BinaryMissingError, match="not ours"):
        pairings.our_binary("ipcontroller")


def test_no_secret_of_the_caller_reaches_the_stack(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPP_CONNECTION_INFO", "{}")
    assert "IPP_CONNECTION_INFO" not in stack.environment()
    assert stack.environment()["TMPDIR"].startswith(str(stack.root))
    assert os.environ["IPP_CONNECTION_INFO"] == "{}"
    stack.stop()
