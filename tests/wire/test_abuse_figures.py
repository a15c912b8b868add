"""The controller's figures: what passed, what was refused and why, what waits (users.md 5c)."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import ipyfleet
import ipyparallel as ipp
import pytest
import zmq

from .conftest import StackFactory
from .hostile import ENGINES, engine_uuid, nap
from .pairings import A, C
from .polling import plain, wait_until
from .raw import CHANNELS, RawPeer, header
from .stack import Stack

pytestmark = pytest.mark.pairings(C, why="the reference has no such request")
T = 15


def status(peer: RawPeer) -> dict[str, Any]:
    """The controller's figures."""
    content = peer.ask("registration", peer.message("status_request"))["content"]
    assert content["status"] == "ok"
    return content


def rejected(peer: RawPeer, queue: str) -> dict[str, int]:
    """What a queue has dropped, by cause."""
    return status(peer)["queues"][queue]["rejected"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_is_refused_is_counted_by_cause(
    peer: RawPeer, normal: ipp.Client, channel: str
) -> None:
    before = rejected(peer, channel)
    target = engine_uuid(normal) if channel in {"mux", "control"} else None
    wanted = {
        "bad_signatures": before["bad_signatures"] + 3,
        "replays": before["replays"] + 2,
        "malformed": before["malformed"] + (2 if channel == "broadcast" else 1),
    }
    with RawPeer(peer.connection) as other:
        for _ in range(3):
            other.send(channel, other.message("apply_request", key="wrong"), target)
        good = other.message("bogus_request", metadata={"targets": 5})
        for _ in range(3):
            other.send(channel, good, target)
        other.send(channel, [b"no delimiter"], target)
        wait_until(lambda: rejected(peer, channel) == wanted, f"{wanted} on {channel}", 5, 0.1)


def test_a_stolen_identity_is_counted(peer: RawPeer, victim: Stack, normal: ipp.Client) -> None:
    before = status(peer)["queues"]["mux"]["engines"]["identities_refused"]
    peer.connection = peer.connection | {"mux": victim.connection("engine")["mux"]}
    thief = peer.socket("mux", identity=engine_uuid(normal))
    thief.send_multipart(peer.message("apply_reply"))

    def counted() -> bool:
        return status(peer)["queues"]["mux"]["engines"]["identities_refused"] > before

    wait_until(counted, "the refusal in the figures", 10, 0.1)


@pytest.mark.pairings(A, C, why="our controller's figures with both kinds of engines")
def test_figures_follow_the_tasks(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(ENGINES)
    with RawPeer(stack.connection("client")) as peer:
        before = status(peer)
        assert before["engines"] == ENGINES
        naps = [rc.load_balanced_view().apply_async(nap, 1.0) for _ in range(3 + ENGINES)]
        found = wait_until(
            lambda: (now := status(peer)["queues"]["task"])["open"] == 3 + ENGINES and now,
            "all tasks in the figures",
        )
        assert (found["running"], found["waiting"]) == (ENGINES, 3)
        assert found["open_bytes"] > 0
        direct = rc[:].apply_async(os.getpid)
        wait_until(lambda: status(peer)["queues"]["mux"]["open"] == ENGINES, "direct calls, too")
        for one in [*naps, direct]:
            one.get(timeout=T)
        after = status(peer)
    task, mux = after["queues"]["task"], after["queues"]["mux"]
    assert task["finished"] == 3 + ENGINES
    assert (task["open"], task["running"], task["waiting"], task["open_bytes"]) == (0, 0, 0, 0)
    assert task["clients"]["messages_in"] == task["engines"]["messages_out"] == 3 + ENGINES
    assert task["clients"]["bytes_in"] > 500 * (3 + ENGINES)
    assert mux["engines"]["messages_in"] == mux["finished"] == ENGINES
    assert mux["engines"]["connections"] == ENGINES
    assert after["queues"]["iopub"]["engines"]["messages_in"] > 0
    assert after["store"]["name"] == "DictDB"
    assert after["store"]["records"] == 3 + 2 * ENGINES
    assert after["pending"] == 0
    assert after["uptime"] > before["uptime"] > 0
    assert after["resident_bytes"] > 1 << 20


def test_a_failed_task_counts_as_failed(peer: RawPeer) -> None:
    before = status(peer)["queues"]["task"]
    peer.ask("task", peer.message("bogus_request"))
    after = status(peer)["queues"]["task"]
    assert after["failed"] == before["failed"] + 1
    assert after["finished"] == before["finished"]


def test_our_client_asks_for_them(victim: Stack) -> None:
    with ipyfleet.Client(str(victim.connection_file("client"))) as client:
        figures = client.controller_status()
    assert figures["engines"] == ENGINES
    assert set(figures["queues"]) >= {"task", "mux", "control", "broadcast", "iopub"}


def test_sigusr1_writes_them_to_the_log(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--nodb")
    for count in (1, 2):
        os.kill(stack.controller.pid, signal.SIGUSR1)
        wait_until(lambda n=count: stack.controller.text().count("status::{") == n, "a line", 5)
    line = plain(stack.controller.text()).rpartition("status::")[2].partition("\n")[0]
    figures = json.loads(line)
    assert figures["engines"] == 0
    assert figures["store"]["name"] == "NoDB"


def test_log_lines_about_refused_messages_name_the_peer(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1)
    where = {name: stack.connection("client") for name in CHANNELS}
    where["iopub"] = stack.connection("engine")
    for name, connection in where.items():
        with RawPeer(connection) as peer:
            kind = zmq.PUB if name == "iopub" else zmq.DEALER
            sender = peer.socket(name, kind)
            target = [engine_uuid(rc)] if name in {"mux", "control"} else []
            log = {"registration": "hub"}.get(name, name)

            def told(name: str = log) -> bool:
                lines = plain(stack.controller.text()).splitlines()
                return any(f"{name}::dropped" in x and " of 127.0.0.1" in x for x in lines)

            def try_again() -> bool:  # a PUB drops what it sends before it is connected
                frames = peer.message("apply_request", key="wrong", head=header("x"))
                sender.send_multipart([*target, *frames])  # noqa: B023
                return told()

            wait_until(try_again, f"a line about {name} with the address", 5, 0.1)
