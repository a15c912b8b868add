"""Mistakes on the command line and in files: one clear line, a status, in bounded time."""

from __future__ import annotations

import json
import re
import socket
import subprocess

import pytest

from . import pairings
from .conftest import StackFactory
from .pairings import C
from .polling import wait_until
from .stack import Stack

BOUND = 15.0  # seconds: the longest default wait of an engine, and its start
_HARMLESS = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \[\w+(\.\d+)?\] (?!ERROR|CRITICAL)")

pytestmark = pytest.mark.pairings(C, why="the reference answers many of these with tracebacks")


def run(
    stack: Stack, role: str, *args: str, timeout: float = BOUND, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run our controller or engine to its end; a timeout is a failure."""
    program = pairings.command("ours", "controller" if role == "controller" else "engine")
    return subprocess.run(
        [*program, *args],
        env=stack.environment() | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=stack.root,
    )


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Failure with a single error line that contains ``words``, and no traceback."""
    everything = done.stdout + done.stderr
    assert done.returncode > 0, f"status {done.returncode} (a signal?): {everything}"
    for bad in ("Traceback", "terminate called", "what():", "Segmentation", "core dumped"):
        assert bad not in everything
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if not _HARMLESS.match(line)]
    assert len(errors) == 1, f"not one line: {errors}"
    for word in words:
        assert word.lower() in errors[0].lower(), f"{word!r} is not in {errors[0]!r}"


@pytest.fixture
def stack(make_stack: StackFactory) -> Stack:
    """A directory and environment; nothing runs yet."""
    return make_stack()


@pytest.mark.parametrize("role", ["controller", "engine"])
@pytest.mark.parametrize(
    "args",
    [
        ["--no-such-option"],
        ["--no-such-option=5"],
        ["unexpected"],
        ["--log-level=loud"],
        ["--log-level"],
    ],
    ids=" ".join,
)
def test_bad_option(stack: Stack, role: str, args: list[str]) -> None:
    done = run(stack, role, *args, timeout=5)
    assert_one_clear_line(done, args[0].strip("-").split("=")[-1])


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--ping=fast"], "ping"),
        (["--ping=-1"], "ping"),
        (["--ping=0"], "ping"),
        (["--hwm=many"], "hwm"),
        (["--hwm=-2"], "hwm"),
        (["--ports=70000"], "port"),
        (["--ports=a-b"], "port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_value_for_the_controller(stack: Stack, args: list[str], word: str) -> None:
    done = run(stack, "controller", *args, timeout=5)
    assert_one_clear_line(done, word)


@pytest.mark.parametrize("role", ["controller", "engine"])
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(stack: Stack, role: str, option: str) -> None:
    done = run(stack, role, option, timeout=5)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_address_of_another_machine(stack: Stack) -> None:
    assert_one_clear_line(run(stack, "controller", "--ip=192.0.2.1", timeout=5), "192.0.2.1")
    assert_one_clear_line(run(stack, "controller", "--ip=not-an-ip!", timeout=10), "not-an-ip!")


def test_registration_port_in_use(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(stack, "controller", f"--engine-port={port}", timeout=5)
    assert_one_clear_line(done, str(port))
    assert not stack.connection_file("client").exists()


@pytest.mark.parametrize("cluster_id", ["../escape", "a/b", "new\nline"])
def test_cluster_id_that_is_a_path(stack: Stack, cluster_id: str) -> None:
    done = run(stack, "controller", f"--cluster-id={cluster_id}", timeout=5)
    assert_one_clear_line(done, "cluster")
    assert not list(stack.root.rglob("*escape*"))


def test_profile_dir_that_can_not_be_made(stack: Stack) -> None:
    blocker = stack.root / "file"
    blocker.write_text("not a directory")
    done = run(stack, "controller", f"--profile-dir={blocker}/profile", timeout=5)
    assert_one_clear_line(done, str(blocker))


# --- the engine's connection file ---------------------------------------------------------------


def test_engine_without_profile_dir(stack: Stack) -> None:
    arguments = (f"--profile-dir={stack.root}/nowhere", "--IPEngine.wait_for_url_file=1")
    done = run(stack, "engine", *arguments)
    assert_one_clear_line(done, "nowhere")


def test_engine_without_connection_file(stack: Stack) -> None:
    done = run(stack, "engine", "--IPEngine.wait_for_url_file=1")
    assert_one_clear_line(done, "ipcontroller-engine.json")


def test_engine_with_a_named_file_that_is_missing(stack: Stack) -> None:
    done = run(stack, "engine", f"--file={stack.root}/none.json", "--IPEngine.wait_for_url_file=1")
    assert_one_clear_line(done, "none.json")


def valid_connection() -> dict[str, object]:
    """An engine file that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ("registration", "control", "mux", "task", "iopub", "hb_ping", "hb_pong")
    return {
        "ssh": "",
        "interface": "tcp://127.0.0.1",
        **dict.fromkeys(names, port),
        "broadcast": [port],
        "key": "a-key",
        "curve_serverkey": None,
        "location": "127.0.0.1",
        "pack": "json",
        "unpack": "json",
        "signature_scheme": "hmac-sha256",
    }


def broken_files() -> dict[str, bytes]:
    """Name of the fault -> content of the file."""
    good = valid_connection()
    without_port = {k: v for k, v in good.items() if k != "registration"}
    return {
        "empty": b"",
        "cut": json.dumps(good).encode()[:100],
        "binary": b"\x00\xff\xfe" * 100,
        "a list": b"[1, 2, 3]",
        "null": b"null",
        "no registration": json.dumps(without_port).encode(),
        "text port": json.dumps(good | {"registration": "x"}).encode(),
        "port out of range": json.dumps(good | {"registration": 700_000}).encode(),
        "bad interface": json.dumps(good | {"interface": "nonsense"}).encode(),
        "unknown packer": json.dumps(good | {"pack": "pickle", "unpack": "pickle"}).encode(),
        "unknown signature": json.dumps(good | {"signature_scheme": "hmac-none"}).encode(),
        "deep": b"[" * 100_000,
    }


@pytest.mark.parametrize("fault", list(broken_files()))
def test_engine_with_a_malformed_file(stack: Stack, fault: str) -> None:
    path = stack.root / "engine.json"
    path.write_bytes(broken_files()[fault])
    done = run(stack, "engine", f"--file={path}", "--IPEngine.wait_for_url_file=1")
    word = "hmac-none" if fault == "unknown signature" else "engine.json"
    assert_one_clear_line(done, word)


def test_engine_with_a_directory_as_file(stack: Stack) -> None:
    done = run(stack, "engine", f"--file={stack.root}", "--IPEngine.wait_for_url_file=1")
    assert_one_clear_line(done, str(stack.root))


def test_engine_with_malformed_connection_info_in_the_environment(stack: Stack) -> None:
    done = run(stack, "engine", IPP_CONNECTION_INFO="{not json")
    assert_one_clear_line(done, "IPP_CONNECTION_INFO")


def test_engine_of_a_controller_that_is_not_there(stack: Stack) -> None:
    path = stack.root / "engine.json"
    path.write_text(json.dumps(valid_connection()))
    done = run(stack, "engine", f"--file={path}", "--timeout=1")
    assert_one_clear_line(done, "regist")


def test_engine_with_the_wrong_key(stack: Stack) -> None:
    stack.start_controller()
    other = stack.connection("engine") | {"key": "0000-not-the-key"}
    path = stack.root / "wrong.json"
    path.write_text(json.dumps(other))
    path.chmod(0o600)
    done = run(stack, "engine", f"--file={path}", "--timeout=1")
    assert_one_clear_line(done, "regist", "key")
    assert "0000-not-the-key" not in done.stderr
    assert stack.client().ids == []


def test_engine_startup_script_that_fails(stack: Stack) -> None:
    stack.start_controller()
    proc = stack.start_engine("-c", "raise RuntimeError('in the start-up command')")
    rc = stack.client()
    wait_until(lambda: len(rc.ids) == 1 or proc.popen.poll() is not None, "an end or an engine")
    wait_until(lambda: "in the start-up command" in proc.text(), "the error is in the log")


def test_second_controller_leaves_the_first_ones_files_alone(stack: Stack) -> None:
    stack.start_controller()
    before = {role: stack.connection_file(role).read_bytes() for role in ("client", "engine")}
    done = run(stack, "controller", timeout=10)
    assert_one_clear_line(done, "already runs", str(stack.controller.pid))
    for role, content in before.items():
        assert stack.connection_file(role).read_bytes() == content
    assert stack.client().ids == []
