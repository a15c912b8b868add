"""User code that harms its process: a reply, a working engine, nobody else disturbed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError

from .conftest import StackFactory
from .pairings import C
from .polling import holds_for, wait_until
from .stack import Stack
from .test_engine_restart import ask

T = 30.0
PING = 300

pytestmark = pytest.mark.pairings(C, why="the process life of our engines")


@pytest.fixture
def up(make_stack: StackFactory) -> Iterator[tuple[Stack, ipp.Client]]:
    """Engine 0 to be harmed, engine 1 as a witness with something to keep."""
    stack = make_stack()
    stack.start_controller(ping=PING)
    rc = stack.start_engines(2, "--restart=on-failure", "--memory-limit=600M", "-c", "fresh = 1")
    rc[:].push({"kept": 42}, block=True)
    yield stack, rc
    assert rc[1].apply_async(os.getpid).get(timeout=T), "the witness works"
    assert rc[1].pull("kept", block=True) == 42


def works(rc: ipp.Client) -> bool:
    """Whether engine 0 answers; it may be a new one."""
    if 0 not in rc.ids:
        return False
    try:
        return bool(rc[0].apply_async(os.getpid).get(timeout=5))
    except (RemoteError, ipp.TimeoutError):
        return False


@interactive
def leave() -> None:
    import os

    os._exit(0)


@interactive
def segfault() -> None:
    import ctypes

    ctypes.string_at(0)


@interactive
def abort() -> None:
    import os

    os.abort()


@interactive
def eat_memory() -> None:
    eaten = [b""]
    while True:
        eaten.append(bytearray(b"x" * (16 << 20)))


@pytest.mark.parametrize("harm", [leave, segfault, abort, eat_memory], ids=lambda f: f.__name__)
def test_the_process_dies_and_is_replaced(
    up: tuple[Stack, ipp.Client], harm: Callable[[], None]
) -> None:
    _, rc = up
    since = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        rc[0].apply_async(harm).get(timeout=T)
    print(f"{harm.__name__}: {1000 * (time.monotonic() - since):.0f} ms to the error")
    assert caught.value.ename == "EngineError"
    wait_until(lambda: works(rc), "engine 0 is back", T)
    assert rc.ids == [0, 1]
    assert rc[0].pull("fresh", block=True) == 1


@interactive
def allocate(size: int) -> int:
    """Ask for more than there can be."""
    return len(bytearray(size))


def test_a_failed_allocation_is_an_error_and_no_more(up: tuple[Stack, ipp.Client]) -> None:
    _, rc = up
    with pytest.raises(RemoteError, match="MemoryError"):
        rc[0].apply_async(allocate, 1 << 50).get(timeout=T)
    assert rc[0].pull("kept", block=True) == 42


@interactive
def fork_and_return() -> int:
    """Both processes return; only the parent's result may arrive."""
    import os

    return os.fork()


@interactive
def pool_sum() -> int:
    """Use a pool of forked processes."""
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(abs, range(-10, 0)))


def test_forks_of_user_code(up: tuple[Stack, ipp.Client]) -> None:
    _, rc = up
    for _ in range(3):
        assert rc[0].apply_async(fork_and_return).get(timeout=T) > 0
    assert rc[0].apply_async(pool_sum).get(timeout=T) == 55
    assert rc[0].pull("kept", block=True) == 42
    assert rc.ids == [0, 1]


@interactive
def close_descriptors(first: int) -> str:
    """Close everything that is not one's own."""
    import os

    os.closerange(first, 4096)
    return "closed"


def test_closed_descriptors(up: tuple[Stack, ipp.Client]) -> None:
    _, rc = up
    # Standard descriptors only: output is lost, nothing else.
    rc[0].execute("import os; os.close(0); os.close(1)", block=True)
    assert rc[0].pull("kept", block=True) == 42
    # All: the engine cannot go on, but somebody must say so.
    ar = rc[0].apply_async(close_descriptors, 3)
    try:
        assert ar.get(timeout=T) == "closed"
    except RemoteError as error:
        assert error.ename == "EngineError"  # noqa: PT017
    wait_until(lambda: works(rc), "engine 0 is back", T)


@interactive
def many_threads(count: int) -> int:
    """Start threads until there are so many, or the system refuses."""
    import threading

    stop = threading.Event()
    threads = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=stop.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return len(threads)


def test_ten_thousand_threads(up: tuple[Stack, ipp.Client]) -> None:
    _, rc = up
    assert rc[0].apply_async(many_threads, 10_000).get(timeout=300) > 100
    assert rc[0].pull("kept", block=True) == 42


@interactive
def hold_the_gil(path: str) -> None:
    """Never give the GIL back."""
    import ctypes
    import pathlib

    pathlib.Path(path).touch()
    libc = ctypes.PyDLL(None)
    while True:
        libc.pause()


def test_a_c_loop_that_holds_the_gil(up: tuple[Stack, ipp.Client]) -> None:
    stack, rc = up
    running = stack.root / "running"
    ar = rc[0].apply_async(hold_the_gil, str(running))
    wait_until(running.exists, "it runs")
    holds_for(lambda: rc.ids == [0, 1], "the engine counts as alive", 1.5)
    rc[0].execute("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    reply = ask(rc, "cancel_request", {"msg_id": ar.msg_ids[0], "grace": 0.5})
    assert reply["content"]["outcome"] in {"killed", "interrupted"}
    with pytest.raises(RemoteError):
        ar.get(timeout=T)
    wait_until(lambda: works(rc), "engine 0 is there", T)


# --- the key --------------------------------------------------------------------------------------


@interactive
def everything_visible() -> str:
    """Environment and command lines of this process, its parents and a child."""
    import os
    import pathlib
    import subprocess

    pid, seen = os.getpid(), [repr(dict(os.environ))]
    while pid > 1:
        for name in ("environ", "cmdline"):
            seen.append(pathlib.Path(f"/proc/{pid}/{name}").read_text(errors="replace"))
        pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if "ipengine" not in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
            break
    seen.append(subprocess.run(["cat", "/proc/self/environ"], capture_output=True).stdout.decode())
    return "\n".join(seen)


def test_the_key_is_not_visible(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller(ping=PING)
    rc = stack.client()
    text = Path(stack.connection_file("engine")).read_text()
    key = stack.connection("engine")["key"]
    assert len(key) > 20
    stack.start_engine(IPP_CONNECTION_INFO=text)
    stack.start_engine(f"--Session.key={key}", IPP_SESSION_KEY=key)
    wait_until(lambda: rc.ids == [0, 1], "both engines", T)
    for seen in rc[:].apply_async(everything_visible).get(timeout=T):
        assert "IPYTHONDIR" in seen
        assert key not in seen
