"""Requests of Jupyter's protocol to an engine of a cluster, through the controller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipyparallel as ipp
import pytest

from .pairings import B, C
from .raw import RawPeer
from .stack import Stack


class Asker:
    """Sends requests to one engine and returns the content of the replies."""

    def __init__(self, peer: RawPeer, target: bytes) -> None:
        self._peer = peer
        self._target = target

    def __call__(self, msg_type: str, channel: str = "mux", **content: Any) -> dict[str, Any]:
        message = self._peer.message(msg_type, content)
        reply = self._peer.ask(channel, message, self._target, timeout=10)
        assert reply["header"]["msg_type"] == msg_type.replace("_request", "_reply")
        return reply["content"]

    def tell(self, msg_type: str, content: dict[str, Any], *buffers: bytes) -> None:
        """Send what has no reply."""
        message = self._peer.message(msg_type, content, buffers=buffers)
        self._peer.send("mux", message, self._target)


@pytest.fixture
def ask(stack: Stack, rc: ipp.Client) -> Iterator[Asker]:
    with RawPeer(stack.connection("client")) as peer:
        yield Asker(peer, rc._engines[0].encode())


def test_complete(ask: Asker, rc: ipp.Client) -> None:
    rc[0].push({"fleet_value": "text"}, block=True)
    reply = ask("complete_request", code="fleet_value.isal", cursor_pos=16)
    assert reply["status"] == "ok"
    assert set(reply["matches"]) == {".isalnum", ".isalpha"} or set(reply["matches"]) == {
        "isalnum",
        "isalpha",
    }
    assert reply["cursor_end"] == 16
    nothing = ask("complete_request", code="no_such_name_at_al", cursor_pos=18)
    assert (nothing["matches"], nothing["cursor_start"], nothing["cursor_end"]) == ([], 18, 18)


def test_complete_counts_characters_not_bytes(ask: Asker, rc: ipp.Client) -> None:
    rc[0].push({"größe_abc": 1}, block=True)
    reply = ask("complete_request", code="x = größe_a", cursor_pos=11)
    assert reply["matches"] == ["größe_abc"]
    assert (reply["cursor_start"], reply["cursor_end"]) == (4, 11)


def test_inspect(ask: Asker, rc: ipp.Client) -> None:
    rc[0].push({"fleet_list": [1, 2]}, block=True)
    reply = ask("inspect_request", code="fleet_list", cursor_pos=4, detail_level=0)
    assert (reply["status"], reply["found"]) == ("ok", True)
    assert "[1, 2]" in reply["data"]["text/plain"]
    missing = ask("inspect_request", code="no_such_name", cursor_pos=4, detail_level=0)
    assert (missing["status"], missing["found"], missing["data"]) == ("ok", False, {})


@pytest.mark.parametrize(
    ("code", "status", "indent"),
    [
        ("1 + 1", "complete", None),
        ("for i in range(3):", "incomplete", "    "),
        ("import = 3", "invalid", None),
    ],
)
def test_is_complete(ask: Asker, code: str, status: str, indent: str | None) -> None:
    reply = ask("is_complete_request", code=code)
    assert reply["status"] == status
    assert reply.get("indent") == indent


@pytest.mark.pairings(B, C, why="the reference keeps no history on engines")
def test_history(ask: Asker, rc: ipp.Client) -> None:
    for code in ("fleet_h = 41", "fleet_h + 1", "'other'"):
        rc[0].execute(code, silent=False, block=True).get(timeout=10)
    tail = ask("history_request", hist_access_type="tail", n=3, raw=True, output=False)
    assert [text for _, _, text in tail["history"]] == ["fleet_h = 41", "fleet_h + 1", "'other'"]
    session, first, _ = tail["history"][0]
    shown = ask("history_request", hist_access_type="tail", n=2, raw=True, output=True)
    assert [text for _, _, text in shown["history"]] == [
        ["fleet_h + 1", "42"],
        ["'other'", "'other'"],
    ]
    part = ask(
        "history_request",
        **{"hist_access_type": "range", "session": session, "start": first, "stop": first + 2},
        **{"raw": True, "output": False},
    )
    assert [line for _, line, _ in part["history"]] == [first, first + 1]
    found = ask("history_request", hist_access_type="search", pattern="fleet_h*", n=5, raw=True)
    assert [text for _, _, text in found["history"]][-2:] == ["fleet_h = 41", "fleet_h + 1"]
    bad = ask("history_request", hist_access_type="guess")
    assert (bad["status"], bad["ename"]) == ("error", "ValueError")
    assert "'guess'" in bad["evalue"]


def test_comms(ask: Asker, rc: ipp.Client) -> None:
    rc[0].execute(
        "from comm import create_comm\nfleet_comm = create_comm(target_name='fleet')"
    ).get(10)
    comm_id = rc[0].pull("fleet_comm.comm_id", block=True)
    found = ask("comm_info_request", target_name="fleet")
    assert found == {"status": "ok", "comms": {comm_id: {"target_name": "fleet"}}}
    assert ask("comm_info_request", target_name="else")["comms"] == {}
    rc[0].execute("fleet_comm.close()").get(10)
    assert ask("comm_info_request")["comms"] == {}


@pytest.mark.pairings(C, why="the stock controller passes on only what it knows")
def test_messages_of_comms_arrive_with_buffers(ask: Asker, rc: ipp.Client) -> None:
    rc[0].execute(
        "got = []\n"
        "def opened(c, message):\n"
        "    c.on_msg(lambda m: got.append((m['content']['data'], bytes(m['buffers'][0]))))\n"
        "from comm import get_comm_manager\n"
        "get_comm_manager().register_target('fleet_target', opened)"
    ).get(10)
    ask.tell("comm_open", {"comm_id": "c1", "target_name": "fleet_target", "data": {}})
    ask.tell("comm_msg", {"comm_id": "c1", "data": {"x": 3}}, b"\x00\xff")
    assert "c1" in ask("comm_info_request")["comms"]
    ask.tell("comm_close", {"comm_id": "c1"})
    assert "c1" not in ask("comm_info_request")["comms"]
    assert rc[0].pull("got", block=True) == [({"x": 3}, b"\x00\xff")]


def test_requests_on_the_control_channel_and_the_rest(ask: Asker) -> None:
    info = ask("kernel_info_request", channel="control")
    assert info["language_info"]["name"] == "python"
    assert info["protocol_version"] == "5.3"
    assert ask("connect_request")["status"] == "ok"
