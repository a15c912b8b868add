"""Ctrl-C in calls that wait, and use of a client in a forked child."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import as_completed
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, ctrl_c, nap

T = 20
MUCH = memoryview(bytes(2**20))
SLOW = 100.0


WAITS: dict[str, Callable[[ipp.Client, ipp.AsyncResult], Any]] = {
    "get": lambda rc, result: result.get(),
    "result": lambda rc, result: result.result(SLOW),
    "wait": lambda rc, result: result.wait(),
    "wait for some": lambda rc, result: result.wait(return_when=ipp.FIRST_COMPLETED),
    "wait for output": lambda rc, result: result.wait_for_output(),
    "wait_interactive": lambda rc, result: result.wait_interactive(interval=SLOW),
    "iterate": lambda rc, result: list(result),
    "client wait": lambda rc, result: rc.wait(),
    "engines": lambda rc, result: rc.wait_for_engines(ENGINES + 1),
    "imap": lambda rc, result: list(rc.load_balanced_view().imap(nap, [SLOW])),
    "endless imap": lambda rc, result: list(rc.load_balanced_view().imap(nap, iter([SLOW]))),
    "apply_sync": lambda rc, result: rc[0].apply_sync(nap, SLOW),
    "map_sync": lambda rc, result: rc.load_balanced_view().map_sync(nap, [SLOW]),
    "hub result": lambda rc, result: _of_another_client(rc, result),
    "sending": lambda rc, result: _send(rc),
    "awaiting": lambda rc, result: asyncio.run(_await(result)),
    "as_completed": lambda rc, result: list(as_completed([result])),
    "streaming": lambda rc, result: _stream(result),
    "executor": lambda rc, result: next(rc.executor().map(nap, [SLOW])),
}


def _of_another_client(rc: ipp.Client, result: ipp.AsyncResult) -> None:
    with ipp.Client(rc.connection.native.file) as other:
        other.get_result(result.msg_ids).get()


def _send(rc: ipp.Client) -> None:
    view = rc.direct_view(0, track=True)
    view.apply_async(nap, SLOW, MUCH).wait_for_send()


async def _await(result: ipp.AsyncResult) -> Any:
    return await result


def _stream(result: ipp.AsyncResult) -> None:
    with result.stream_output():
        result.wait()


@pytest.mark.parametrize("name", WAITS)
def test_ctrl_c_returns_at_once(rc: ipp.Client, name: str) -> None:
    result = rc[:].apply_async(nap, SLOW)
    timer = threading.Timer(0.3, ctrl_c)
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        WAITS[name](rc, result)
    assert time.monotonic() - start < 5
    timer.join()
    # Client and cluster are as they were.
    assert not result.ready()
    deadline = time.monotonic() + T
    while rc.outstanding and time.monotonic() < deadline:
        rc.send_signal("SIGINT", block=True)
        rc.wait(timeout=0.3)
    assert rc[:].apply_sync(pow, 2, 2) == [4] * ENGINES


def test_a_forked_child_is_refused(rc: ipp.Client) -> None:
    result = rc[0].apply_async(nap, 0.3)
    view = rc.load_balanced_view()
    refused = []
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for call in (
            lambda: rc[0].apply_async(nap, 0),
            lambda: view.map_async(nap, [0]),
            lambda: rc.ids,
            lambda: result.wait(),
            lambda: result.add_done_callback(print),
            lambda: rc.queue_status(),
        ):
            try:
                call()
            except RuntimeError as failure:
                refused.append("forked child" in str(failure) or "parent process" in str(failure))
            except BaseException:
                refused.append(False)
            else:
                refused.append(False)
        os.write(writer, repr(refused).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == repr([True] * 6)
    os.waitpid(child, 0)
    assert result.get(T) is None
    assert rc[0].apply_sync(pow, 2, 2) == 4
