"""Jupyter frontends that attach to a running engine, beside the clients of its cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel as ipp
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from .pairings import B, C
from .polling import wait_until
from .stack import Stack

TIMEOUT = 20
pytestmark = [
    pytest.mark.pairings(B, C, why="kernel ports of our engines"),
    pytest.mark.filterwarnings("ignore:.*unclosed:ResourceWarning"),
]


@pytest.fixture
def engine(make_stack: Callable[..., Stack]) -> ipp.DirectView:
    """A view of the only engine of a cluster of its own."""
    return make_stack().start(1)[0]


@pytest.fixture
def attach(tmp_path: Path, engine: ipp.DirectView) -> Iterator[Callable[[], BlockingKernelClient]]:
    """Attach one more frontend."""
    file = tmp_path / "kernel.json"
    engine.apply_sync(ipp.bind_kernel, connection_file=str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    clients = []

    def make() -> BlockingKernelClient:
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels()
        clients.append(client)
        client.wait_for_ready(timeout=TIMEOUT)
        return client

    yield make
    for client in clients:
        client.stop_channels()


def outputs_of(client: BlockingKernelClient, code: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    reply = client.execute_interactive(
        code, output_hook=found.append, timeout=TIMEOUT, **{"allow_stdin": False, **options}
    )
    assert reply["content"]["status"] == "ok", reply["content"]
    return found


def texts(messages: list[dict[str, Any]]) -> str:
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")


def test_frontend_and_cluster_share_the_namespace(
    engine: ipp.DirectView, attach: Callable[[], BlockingKernelClient]
) -> None:
    frontend = attach()
    engine.push({"from_cluster": [1, 2]}, block=True)
    assert texts(outputs_of(frontend, "from_frontend = 5; print(from_cluster)")) == "[1, 2]\n"
    assert engine.pull("from_frontend", block=True) == 5


def test_output_goes_to_whom_it_belongs(
    engine: ipp.DirectView, attach: Callable[[], BlockingKernelClient]
) -> None:
    first, second = attach(), attach()
    records_before = len(engine.client.db_query({}, keys=["msg_id"]))
    shown = outputs_of(first, "print('of the frontend')\n6 * 7")
    assert texts(shown) == "of the frontend\n"
    assert any(m["msg_type"] == "execute_result" for m in shown)
    result = engine.execute("print('of the cluster')", silent=False, block=True)
    result.wait_for_output(TIMEOUT)
    assert result.stdout == "of the cluster\n"

    # Frontends hear everything and tell by the parent what is theirs.
    heard: list[dict[str, Any]] = []

    def heard_all() -> bool:
        heard.append(second.get_iopub_msg(timeout=TIMEOUT))
        return "of the cluster" in texts(heard) and "of the frontend" in texts(heard)

    wait_until(heard_all, "the second frontend hears both")
    sessions = {m["parent_header"]["session"] for m in heard if m["msg_type"] == "stream"}
    assert sessions == {first.session.session, engine.client.session.session}
    # The hub is not told of what frontends do: only of the execute above.
    assert len(engine.client.db_query({}, keys=["msg_id"])) == records_before + 1


def test_requests_of_both_wait_for_each_other_and_input_works(
    engine: ipp.DirectView, attach: Callable[[], BlockingKernelClient]
) -> None:
    frontend = attach()
    slow = engine.apply_async(__import__("time").sleep, 0.3)
    shown = outputs_of(
        frontend,
        "print(input('who? '))",
        allow_stdin=True,
        stdin_hook=lambda message: frontend.input("me"),
    )
    assert slow.ready() or slow.get(timeout=TIMEOUT) is None
    assert texts(shown) == "me\n"
    failed = engine.execute("input()", silent=True)
    with pytest.raises(ipp.RemoteError, match="StdinNotImplementedError"):
        failed.get(timeout=TIMEOUT)


def test_binding_twice_changes_nothing_and_connect_info_tells(
    engine: ipp.DirectView, attach: Callable[[], BlockingKernelClient], tmp_path: Path
) -> None:
    attach()
    engine.apply_sync(ipp.bind_kernel)
    result = engine.execute("%connect_info", silent=False, block=True)
    result.wait_for_output(TIMEOUT)
    file = tmp_path / "kernel.json"
    assert f"jupyter console --existing {file}" in result.stdout
    told = json.loads(result.stdout[: result.stdout.index("}") + 1])
    assert told == json.loads(file.read_text())
    assert told["key"] != engine.client.session.key.decode()


def test_code_on_the_engine_binds_under_both_names(engine: ipp.DirectView) -> None:
    for module in ("ipyparallel", "ipyfleet"):
        engine.execute(f"import {module}; {module}.bind_kernel()", block=True).get(TIMEOUT)
    code = "get_ipython().kernel.connection_file"
    engine.execute(f"import os; found = os.path.exists({code}), {code}", block=True).get(TIMEOUT)
    exists, file = engine.pull("found", block=True)
    assert exists
    assert Path(file).name.startswith("kernel-")


def test_the_file_goes_with_the_engine(
    engine: ipp.DirectView, attach: Callable[[], BlockingKernelClient], tmp_path: Path
) -> None:
    attach()
    engine.shutdown(block=False)
    wait_until(lambda: not (tmp_path / "kernel.json").exists(), "the connection file is gone", 10)


def test_wrong_arguments_and_an_unbound_engine_are_told(engine: ipp.DirectView) -> None:
    for arguments, error, words in (
        ({"shel_port": 1}, "TypeError", "shel_port"),
        ({"shell_port": "x"}, "OSError", "'shell_port' must be a port number"),
        ({"connection_file": "/no/such/dir/k.json"}, "OSError", "/no/such"),
    ):
        if arguments.get("connection_file") and os.getuid() == 0:
            arguments = {"connection_file": "/proc/no/k.json"}
            words = "/proc/no"
        with pytest.raises(ipp.RemoteError, match=error) as failure:
            engine.apply_sync(ipp.bind_kernel, **arguments)
        assert words in str(failure.value)
    failed = engine.execute("%connect_info", silent=False)
    with pytest.raises(ipp.RemoteError, match="UsageError"):
        failed.get(timeout=TIMEOUT)
