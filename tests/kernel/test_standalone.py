"""ipengine as a kernel of its own: input, interrupts, heartbeats, files, the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from .conftest import StartKernel, shell_reply

TIMEOUT = 20
PROGRAM = Path(os.environ.get("IPF_BIN_DIR") or Path(sys.executable).parent) / "ipengine"

Message = dict[str, Any]


def run(
    client: BlockingKernelClient, code: str, answer: str | None = None, **options: Any
) -> tuple[Message, list[Message]]:
    """Execute; return the reply's content and the iopub messages, answering input with `answer`."""
    outputs: list[Message] = []
    asked: list[Message] = []

    def on_input(message: Message) -> None:
        asked.append(message["content"])
        client.input(answer or "")

    reply = client.execute_interactive(
        code,
        allow_stdin=answer is not None,
        stdin_hook=on_input,
        output_hook=outputs.append,
        timeout=TIMEOUT,
        **options,
    )
    content = dict(reply["content"])
    content["asked"] = asked
    return content, outputs


def text(outputs: list[Message], name: str = "stdout") -> str:
    return "".join(
        m["content"]["text"]
        for m in outputs
        if m["msg_type"] == "stream" and m["content"]["name"] == name
    )


def wait_for_output(client: BlockingKernelClient, wanted: str) -> None:
    """Read iopub until a stream message holds the text."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        message = client.get_iopub_msg(timeout=TIMEOUT)
        if message["msg_type"] == "stream" and wanted in message["content"]["text"]:
            return
    raise AssertionError(f"no output {wanted!r}")


def test_input_and_getpass(client: BlockingKernelClient) -> None:
    code = "import getpass\na = input('name? ')\nb = getpass.getpass('word? ')\nprint(a, b)"
    reply, outputs = run(client, code, answer="grüße")
    assert reply["status"] == "ok"
    assert reply["asked"] == [
        {"prompt": "name? ", "password": False},
        {"prompt": "word? ", "password": True},
    ]
    assert text(outputs) == "grüße grüße\n"


def test_input_is_refused_where_the_frontend_cannot_ask(client: BlockingKernelClient) -> None:
    reply, _ = run(client, "input()")
    assert (reply["status"], reply["ename"]) == ("error", "StdinNotImplementedError")


def test_code_that_waits_for_input_can_be_interrupted(start_kernel: StartKernel) -> None:
    manager, client = start_kernel()
    msg_id = client.execute("input('never answered')", allow_stdin=True)
    assert client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"] == "never answered"
    manager.interrupt_kernel()
    reply = shell_reply(client)
    assert reply["parent_header"]["msg_id"] == msg_id
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert run(client, "input('again')", answer="x")[0]["status"] == "ok"


def _by_message(manager: Any, client: BlockingKernelClient) -> None:
    message = client.session.msg("interrupt_request", {})
    client.control_channel.send(message)
    reply = client.get_control_msg(timeout=TIMEOUT)
    assert reply["msg_type"] == "interrupt_reply"
    assert reply["content"]["status"] == "ok"


def _by_signal(manager: Any, client: BlockingKernelClient) -> None:
    manager.interrupt_kernel()


@pytest.mark.parametrize("interrupt", [_by_message, _by_signal])
def test_interrupt(
    start_kernel: StartKernel, interrupt: Callable[[Any, BlockingKernelClient], None]
) -> None:
    manager, client = start_kernel()
    client.execute("print('begun', flush=True)\nimport time\nwhile True: time.sleep(0.05)")
    wait_for_output(client, "begun")
    interrupt(manager, client)
    assert shell_reply(client)["content"]["ename"] == "KeyboardInterrupt"
    assert run(client, "40 + 2")[0]["status"] == "ok"


def test_heart_and_control_answer_while_the_gil_is_held(client: BlockingKernelClient) -> None:
    # libc's usleep through PyDLL keeps the GIL.
    code = "import ctypes\nprint('begun', flush=True)\nctypes.PyDLL(None).usleep(900_000)"
    client.execute(code)
    wait_for_output(client, "begun")
    begin = time.monotonic()
    for kind in ("kernel_info_request", "usage_request"):
        client.control_channel.send(client.session.msg(kind, {}))
        assert client.get_control_msg(timeout=TIMEOUT)["content"]["status"] == "ok"
    beat = client.hb_channel
    assert beat.is_beating()
    assert time.monotonic() - begin < 0.9
    assert shell_reply(client)["content"]["status"] == "ok"


def test_await_expressions_payloads_and_silence(client: BlockingKernelClient) -> None:
    reply, outputs = run(
        client,
        "import asyncio\nawait asyncio.sleep(0.01)\n'seven'",
        user_expressions={"good": "6 * 7", "bad": "1 / 0"},
    )
    assert reply["user_expressions"]["good"]["data"]["text/plain"] == "42"
    assert reply["user_expressions"]["bad"]["ename"] == "ZeroDivisionError"
    assert [m["msg_type"] for m in outputs][:2] == ["status", "execute_input"]
    count = reply["execution_count"]
    assert run(client, "1", silent=True)[0]["execution_count"] == count
    assert run(client, "2", store_history=False)[0]["execution_count"] == count
    asked, _ = run(client, "get_ipython().set_next_input('x = 1')")
    assert asked["payload"] == [{"source": "set_next_input", "text": "x = 1", "replace": False}]


def test_an_error_aborts_what_is_queued_unless_told_not_to(client: BlockingKernelClient) -> None:
    client.execute("import time; time.sleep(0.2); 1 / 0")
    client.execute("1")
    client.complete("im")
    replies = [shell_reply(client) for _ in range(3)]
    found = {r["msg_type"]: r["content"]["status"] for r in replies[1:]}
    assert replies[0]["content"]["status"] == "error"
    assert found == {"execute_reply": "aborted", "complete_reply": "ok"}
    client.execute("import time; time.sleep(0.2); 1 / 0", stop_on_error=False)
    client.execute("1")
    statuses = [shell_reply(client)["content"]["status"] for _ in range(2)]
    assert statuses == ["error", "ok"]


def test_output_of_c_code_is_not_shown_twice(client: BlockingKernelClient) -> None:
    code = "import ctypes, os\nctypes.CDLL(None).puts(b'from C')\nos.system('echo from a program')"
    _, outputs = run(client, code)
    assert sorted(text(outputs).splitlines()) == ["from C", "from a program"]


def test_history_outlives_the_kernel(start_kernel: StartKernel) -> None:
    manager, client = start_kernel()
    run(client, "remembered_line = 12345")
    manager.shutdown_kernel()
    _, client = start_kernel()
    client.history(hist_access_type="search", pattern="remembered_line*", raw=True, output=False)
    content = shell_reply(client)["content"]
    assert [line for _, _, line in content["history"]] == ["remembered_line = 12345"]


def test_configuration_and_startup_files_of_the_profile(
    start_kernel: StartKernel, jupyter_home: Path
) -> None:
    profile = jupyter_home / "ipython" / "profile_default"
    startup = profile / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "10-first.py").write_text("from_startup = [1]\n")
    (startup / "20-second.ipy").write_text("from_startup.append(2)\n%who_ls\n")
    config = profile / "ipython_kernel_config.py"
    config.write_text("c.IPKernelApp.exec_lines = ['from_config = 3']\n")
    try:
        _, client = start_kernel()
        reply, outputs = run(client, "print(from_startup, from_config)")
        assert text(outputs) == "[1, 2] 3\n", reply
    finally:
        for file in (*startup.glob("*.*py"), config):
            file.unlink()


def test_comms_reach_the_frontend_and_come_back(client: BlockingKernelClient) -> None:
    code = (
        "from comm import create_comm\n"
        "c = create_comm(target_name='page', data={'a': 1}, buffers=[b'\\x00\\x01'])\n"
        "c.on_msg(lambda m: print('got', m['content']['data'], len(m['buffers'])))"
    )
    _, outputs = run(client, code)
    opened = next(m for m in outputs if m["msg_type"] == "comm_open")
    assert opened["content"]["target_name"] == "page"
    assert [bytes(b) for b in opened["buffers"]] == [b"\x00\x01"]
    comm_id = opened["content"]["comm_id"]
    message = client.session.msg("comm_msg", {"comm_id": comm_id, "data": {"x": 2}})
    client.session.send(client.shell_channel.socket, message, buffers=[b"abc"])
    wait_for_output(client, "got {'x': 2} 1")


def test_restart_and_exit(start_kernel: StartKernel) -> None:
    manager, client = start_kernel()
    run(client, "left = 1")
    manager.restart_kernel()
    client.wait_for_ready(timeout=TIMEOUT)
    assert run(client, "left")[0]["ename"] == "NameError"
    client.execute("exit()")
    reply = shell_reply(client)
    assert reply["content"]["payload"][0]["source"] == "ask_exit"
    end = time.monotonic() + TIMEOUT
    while manager.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
    assert not manager.is_alive()


def test_unix_sockets(
    start_kernel: StartKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, client = start_kernel(transport="ipc")
    assert run(client, "6 * 7")[0]["status"] == "ok"


def test_figures_are_shown_inline(client: BlockingKernelClient) -> None:
    pytest.importorskip("matplotlib")
    code = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    reply, outputs = run(client, code)
    assert reply["status"] == "ok"
    shown = [m["content"]["data"] for m in outputs if m["msg_type"] == "display_data"]
    assert [list(data) for data in shown] == [["text/plain", "image/png"]]


def test_magics_of_a_kernel(client: BlockingKernelClient, tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text("loaded = 1\n")
    assert run(client, f"%less {file}")[0]["payload"][0]["data"] == {"text/plain": "loaded = 1\n"}
    payload = run(client, f"%load {file}")[0]["payload"][0]
    assert (payload["source"], payload["replace"]) == ("set_next_input", True)
    assert "loaded = 1" in payload["text"]
    reply, outputs = run(client, "%connect_info")
    assert reply["status"] == "ok"
    assert f'"shell_port": {client.shell_port}' in text(outputs)
    assert run(client, "%less /no/such/file")[0]["ename"] == "UsageError"


def test_the_specification_of_the_package_can_be_installed(
    jupyter_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(__file__).parents[2] / "python" / "share" / "jupyter" / "kernels" / "ipyfleet"
    prefix = jupyter_home / "other"
    KernelSpecManager().install_kernel_spec(str(source), prefix=str(prefix))
    monkeypatch.setenv("JUPYTER_PATH", str(prefix / "share" / "jupyter"))
    manager = KernelManager(kernel_name="ipyfleet")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=TIMEOUT)
        _, outputs = run(client, "import sys; print(sys.prefix)")
        assert text(outputs).strip() == sys.prefix
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# ---------------------------------------------------------------- without Jupyter's manager


def start_program(*arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(PROGRAM), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )


def connect(file: str) -> BlockingKernelClient:
    client = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=TIMEOUT)
    return client


def test_a_kernel_by_hand_writes_its_file_and_removes_it(tmp_path: Path) -> None:
    process = start_program("--kernel", JUPYTER_RUNTIME_DIR=str(tmp_path / "run"))
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        file = Path(line.removeprefix("Kernel connection file: ").strip())
        assert file.parent == tmp_path / "run"
        assert file.stat().st_mode & 0o777 == 0o600
        client = connect(str(file))
        reply, _ = run(client, "1 + 1")
        assert reply["status"] == "ok"
        client.shell_channel.send(client.session.msg("connect_request", {}))
        ports = shell_reply(client)["content"]
        written = json.loads(file.read_text())
        assert {name: written[name] for name in ports if name != "status"} == {
            name: port for name, port in ports.items() if name != "status"
        }
        client.shutdown()
        assert process.wait(TIMEOUT) == 0
        assert not file.exists()
        client.stop_channels()
    finally:
        process.kill()
        process.communicate()


def test_a_kernel_follows_the_process_that_started_it(tmp_path: Path) -> None:
    parent = subprocess.Popen(["sleep", "60"])
    process = start_program("--kernel", JPY_PARENT_PID=str(parent.pid))
    try:
        assert process.stdout is not None
        process.stdout.readline()
        parent.terminate()
        parent.wait(TIMEOUT)
        assert process.wait(TIMEOUT) == 0
    finally:
        parent.kill()
        process.kill()
        process.communicate()


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "kernel.json"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for content, words in (
            (
                {"shell_port": port, "hb_port": 0, "key": "k"},
                f"cannot listen on tcp://127.0.0.1:{port}",
            ),
            ({"shell_port": "x", "hb_port": 0}, "'shell_port' must be a port number"),
            ({"shell_port": 0, "hb_port": 0, "signature_scheme": "hmac-nonsense"}, "hmac-nonsense"),
        ):
            file.write_text(json.dumps(content))
            process = start_program("-f", str(file))
            _, errors = process.communicate(timeout=TIMEOUT)
            assert process.returncode == 1
            assert words in errors
            assert len(errors.strip().splitlines()) == 1, errors


def test_sigterm_ends_a_kernel(tmp_path: Path) -> None:
    process = start_program("--kernel", "-f", str(tmp_path / "k.json"))
    try:
        assert process.stdout is not None
        process.stdout.readline()
        client = connect(str(tmp_path / "k.json"))
        client.execute("while True: pass")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        client.stop_channels()
    finally:
        process.kill()
        process.communicate()
