"""The debugger through Jupyter's debug messages."""

from __future__ import annotations

import time
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from .conftest import StartKernel, shell_reply

pytest.importorskip("debugpy")
TIMEOUT = 30

CODE = "def double(value):\n    result = value * 2\n    return result\n\nshown = double(21)\n"


class Session:
    """Sends debug requests and remembers the events."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.sequence = 0

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.sequence += 1
        request = {"type": "request", "seq": self.sequence, "command": command}
        message = self.client.session.msg("debug_request", {**request, "arguments": arguments})
        self.client.control_channel.send(message)
        reply = self.client.get_control_msg(timeout=TIMEOUT)
        assert reply["msg_type"] == "debug_reply"
        content = reply["content"]
        assert content["request_seq"] == self.sequence
        assert content["command"] == command
        return content

    def body(self, command: str, **arguments: Any) -> dict[str, Any]:
        reply = self.ask(command, **arguments)
        assert reply["success"], reply
        return reply.get("body") or {}

    def wait_for_event(self, name: str) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            if message["msg_type"] == "debug_event" and message["content"]["event"] == name:
                return message["content"]["body"]
        raise AssertionError(f"no event {name!r}")


@pytest.fixture
def session(start_kernel: StartKernel) -> Session:
    return Session(start_kernel()[1])


def test_a_breakpoint_in_a_cell(session: Session) -> None:
    info = session.body("debugInfo")
    assert (info["isStarted"], info["hashMethod"]) == (False, "Murmur2")
    assert session.body("initialize", clientID="test", adapterID="")["supportsSetVariable"]
    session.body("attach")
    path = session.body("dumpCell", code=CODE)["sourcePath"]
    placed = session.body("setBreakpoints", source={"path": path}, breakpoints=[{"line": 2}])
    assert [b["verified"] for b in placed["breakpoints"]] == [True]
    session.body("configurationDone")

    session.client.execute(CODE)
    stopped = session.wait_for_event("stopped")
    thread = stopped["threadId"]
    frames = session.body("stackTrace", threadId=thread)["stackFrames"]
    assert [(f["name"], f["line"]) for f in frames] == [("double", 2), ("<module>", 5)]
    frame = frames[0]["id"]
    scope = session.body("scopes", frameId=frame)["scopes"][0]["variablesReference"]
    found = session.body("variables", variablesReference=scope)["variables"]
    assert ("value", "21") in [(v["name"], v["value"]) for v in found]
    rich = session.body("richInspectVariables", variableName="value", frameId=frame)
    assert rich["data"]["text/plain"] == "21"
    session.body("copyToGlobals", dstVariableName="kept", srcVariableName="value", srcFrameId=frame)
    assert session.body("debugInfo")["stoppedThreads"] == [thread]
    session.body("continue", threadId=thread)
    assert shell_reply(session.client)["content"]["status"] == "ok"

    names = {v["name"]: v["value"] for v in session.body("inspectVariables")["variables"]}
    assert (names["shown"], names["kept"]) == ("42", "21")
    assert session.body("source", source={"path": path})["content"] == CODE
    session.body("disconnect", restart=False, terminateDebuggee=False)
    session.client.execute(CODE)
    assert shell_reply(session.client)["content"]["status"] == "ok"


def test_what_cannot_be_done_is_told(session: Session) -> None:
    assert "initialize" in session.ask("threads")["message"]
    assert not session.ask("source", source={"path": "/no/such/file"})["success"]
    assert "NameError" in session.ask("richInspectVariables", variableName="nothing")["message"]


def test_a_busy_kernel_completes_on_the_control_channel(session: Session) -> None:
    client = session.client
    client.execute("fleet_name = 1\nimport time\nprint('begun', flush=True)\ntime.sleep(30)")
    while client.get_iopub_msg(timeout=TIMEOUT)["msg_type"] != "stream":
        pass
    message = client.session.msg("complete_request", {"code": "fleet_n", "cursor_pos": 7})
    client.control_channel.send(message)
    content = client.get_control_msg(timeout=TIMEOUT)["content"]
    assert content["matches"] == ["fleet_name"]
    client.control_channel.send(client.session.msg("interrupt_request", {}))
    assert shell_reply(client)["content"]["ename"] == "KeyboardInterrupt"
