"""What the documents show of ipcontroller and ipengine that are started by hand."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from .conftest import ByHand, T, wait_until

COUNT = """\
import ipyfleet as ipp
with ipp.Client() as rc:
    rc.wait_for_engines({n}, timeout=20)
    print(rc.ids, rc[:].apply_sync(lambda: "Hello, World"))
    rc.shutdown(hub=True)
"""


@pytest.mark.seeds(6, 7, 8, 9, 10, 11, 12, 81, 83)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ipcontroller(by_hand: ByHand, number: signal.Signals) -> None:
    shell = by_hand.type("exec ipcontroller")
    info = by_hand.wait_for_controller()
    assert info["interface"] == "tcp://127.0.0.1"
    name = r"\[IPController(App)?\] "
    files = re.escape(str(by_hand.security))
    for line in (
        rf"{name}Hub listening on tcp://127\.0\.0\.1:{info['registration']} for registration\.$",
        rf"{name}Hub using DB backend: '?DictDB'?$",
        rf"{name}hub::created hub$",
        rf"{name}writing connection info to {files}/ipcontroller-client\.json$",
        rf"{name}writing connection info to {files}/ipcontroller-engine\.json$",
        rf"{name}task::using \S+ leastload Task scheduler$",
    ):
        by_hand.wait_for_log(line)
    os.kill(shell.pid, number)
    assert shell.wait(T) == 0
    assert "Traceback" not in by_hand.log


@pytest.mark.seeds(17, 19)
@pytest.mark.parametrize(
    ("scheme", "line"),
    [
        ("pure", r"task::using pure DEALER Task scheduler"),
        *((each, rf"task::using \S+ {each} Task scheduler") for each in ("lru", "plainrandom")),
        *((each, rf"task::using \S+ {each} Task scheduler") for each in ("twobin", "weighted")),
    ],
)
def test_schemes(by_hand: ByHand, scheme: str, line: str) -> None:
    by_hand.type(f"ipcontroller --scheme={scheme}")
    by_hand.wait_for_log(line)


@pytest.mark.seeds(18)
@pytest.mark.parametrize("scheme", ["leastload", "twobin"])
def test_the_scheme_in_the_configuration(by_hand: ByHand, scheme: str) -> None:
    """The second one shows that the file is read: the first is the default."""
    profile = by_hand.security.parent
    profile.mkdir(parents=True)
    (profile / "ipcontroller_config.py").write_text(f"c.TaskScheduler.scheme_name = '{scheme}'\n")
    by_hand.type("ipcontroller")
    by_hand.wait_for_log(rf"task::using \S+ {scheme} Task scheduler$")


@pytest.mark.seeds(78, 79, 80, 82)
@pytest.mark.parametrize(
    ("controller", "engine"),
    [("ipcontroller &", "ipengine &"), ("(ipcontroller &)", "(ipengine &)")],
)
def test_in_the_background(by_hand: ByHand, controller: str, engine: str) -> None:
    by_hand.type(controller)
    by_hand.wait_for_controller()
    by_hand.type(engine)
    by_hand.type(engine)
    shown = by_hand.python(COUNT.format(n=2))
    assert shown == f"[0, 1] {['Hello, World'] * 2}\n"
    for engine_id in (0, 1):
        by_hand.wait_for_log(rf"registration::accepting registration {engine_id}:\S+$")
        by_hand.wait_for_log(
            rf"registration::finished registering engine {engine_id}:\S+ in \d+ ?ms$"
        )


@pytest.mark.seeds(74)
def test_the_engine_is_first(by_hand: ByHand) -> None:
    by_hand.type("ipengine &")
    wait_until(lambda: (by_hand.root / "log").exists() and by_hand.log, lambda: "no word")
    by_hand.type("ipcontroller &")
    by_hand.wait_for_controller()
    assert by_hand.python(COUNT.format(n=1)) == "[0] ['Hello, World']\n"


@pytest.mark.seeds(84, 85, 86)
def test_ports_and_addresses_by_hand(by_hand: ByHand) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    by_hand.type(f"ipcontroller --engine-port={port}")
    assert by_hand.wait_for_controller()["registration"] == port
    by_hand.type("ipengine --controller-ip=127.0.0.1 &")
    by_hand.type(f"ipengine --controller-port={port} &")
    by_hand.type(f"ipengine --controller-port={port} --controller-ip=localhost &")
    assert by_hand.python(COUNT.format(n=3)) == f"[0, 1, 2] {['Hello, World'] * 3}\n"


@pytest.mark.seeds(13)
@pytest.mark.parametrize(
    ("flag", "name"), [("--dictdb", "DictDB"), ("--sqlitedb", "SQLiteDB"), ("--nodb", "NoDB")]
)
def test_databases(by_hand: ByHand, flag: str, name: str) -> None:
    by_hand.type(f"ipcontroller {flag}")
    by_hand.wait_for_log(rf"Hub using DB backend: '?{name}'?$")


@pytest.mark.seeds(14, 15, 33, 34)
def test_one_process_and_one_file_for_each_role(by_hand: ByHand) -> None:
    shell = by_hand.type("exec ipcontroller --usethreads")
    engine = by_hand.wait_for_controller()
    client = json.loads((by_hand.security / "ipcontroller-client.json").read_text())
    assert sorted(path.name for path in by_hand.security.glob("*.json")) == [
        "ipcontroller-client.json",
        "ipcontroller-engine.json",
    ]
    common = {"ssh", "interface", "registration", "control", "mux", "task", "iopub", "broadcast"}
    common |= {"key", "curve_serverkey", "location", "pack", "unpack", "signature_scheme"}
    assert common | {"task_scheme", "notification"} <= set(client)
    assert common | {"hb_ping", "hb_pong"} <= set(engine)
    children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
    assert children == []
