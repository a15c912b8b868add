"""What the documents link or draw, and our own documents have to have."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest

from .conftest import Home

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide"


def page(name: str) -> str:
    """A page of the guide, which its index has to name."""
    assert f"({name})" in (GUIDE / "index.md").read_text(), "linked"
    return (GUIDE / name).read_text()


@pytest.mark.seeds(1)
def test_the_diagram_of_connections_is_how_they_are(home: Home) -> None:
    drawn = re.findall(r"(\w+) ──> (\w+)", (GUIDE / "index.md").read_text())
    assert set(drawn) == {
        ("engine", "hub"),
        ("client", "hub"),
        ("schedulers", "hub"),
        ("engine", "schedulers"),
        ("client", "schedulers"),
    }
    started: dict[str, list[psutil.Process]] = {"ipcontroller": [], "ipengine": []}
    for process in psutil.process_iter(["name", "environ"]):
        environ = process.info["environ"] or {}
        if environ.get("HOME") == str(home.root) and process.info["name"] in started:
            started[process.info["name"]].append(process)
    (controller,) = started["ipcontroller"]
    assert len(started["ipengine"]) >= 4
    connections = controller.net_connections("tcp")
    listening = {each.laddr.port for each in connections if each.status == "LISTEN"}
    others = [each for each in connections if each.status == "ESTABLISHED"]
    assert others, "engines are connected"
    assert {each.laddr.port for each in others} <= listening, "the controller connects to nobody"
    for engine in started["ipengine"]:
        for each in engine.net_connections("tcp"):
            assert each.status != "LISTEN", "nobody connects to an engine"


@pytest.mark.seeds(2)
def test_an_engine_is_a_kernel_with_more_commands(home: Home) -> None:
    shown = home.python(
        """\
import sys

import ipyfleet as ipp
from jupyter_client.blocking.client import BlockingKernelClient

rc = ipp.Client()
file = sys.argv[0] + ".kernel.json"
rc[3].apply_sync(ipp.bind_kernel, connection_file=file)
kc = BlockingKernelClient(connection_file=file)
kc.load_connection_file()
kc.start_channels()
kc.wait_for_ready(timeout=30)
print(kc.kernel_info(reply=True, timeout=30)["content"]["language_info"]["name"])
print(kc.execute("shared = {'a': [1, 2]}", reply=True, timeout=30)["content"]["status"])
print(kc.complete("share", reply=True, timeout=30)["content"]["matches"])
print(rc[3].apply_sync(lambda: shared))
rc[3].push({"pushed": 7}, block=True)
found = kc.execute("", user_expressions={"x": "pushed"}, reply=True, timeout=30)["content"]
print(found["user_expressions"]["x"]["data"]["text/plain"])
kc.stop_channels()
rc.close()
""",
        *("-W", "ignore"),
    )
    assert shown.splitlines() == ["python", "ok", "['shared']", "{'a': [1, 2]}", "7"]


@pytest.mark.seeds(16)
def test_leastload_is_the_default(home: Home) -> None:
    shown = home.python(
        """\
import sys
import time

import ipyfleet as ipp

def wait_for(path):
    import os
    import time
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()

GO = sys.argv[0] + ".go"
with ipp.Cluster(n=4, cluster_id="leastload", controller_args=["--hwm=0"]) as rc:
    view = rc.load_balanced_view()
    waiting = [rc[0].apply_async(wait_for, GO) for _ in range(2)]
    uneven = 0
    for count in range(1, 11):
        waiting.append(view.apply_async(wait_for, GO))
        end = time.monotonic() + 20
        while True:
            loads = {i: each["tasks"] for i, each in rc.queue_status().items() if i in rc.ids}
            if sum(loads.values()) == count or time.monotonic() > end:
                break
            time.sleep(0.005)
        uneven += max(loads.values()) - min(loads.values()) > 1
    print(sorted(loads.values()), uneven)
    open(GO, "w").close()
    print(len({each.get(20) for each in waiting}))
"""
    )
    assert shown == "[2, 2, 3, 3] 0\n4\n"


@pytest.mark.seeds(50)
def test_a_page_about_starting() -> None:
    text = page("starting.md")
    for command in ("ipcluster start -n 4", "ipcontroller", "ipengine"):
        assert command in text


@pytest.mark.seeds(51)
def test_every_example_is_run_by_a_test() -> None:
    examples = [each for each in (ROOT / "examples").iterdir() if each.suffix in (".py", ".sh")]
    assert len(examples) >= 6
    tests = "".join(each.read_text() for each in (ROOT / "tests").rglob("test_*.py"))
    assert [each.name for each in examples if f'"{each.name}"' not in tests] == []


@pytest.mark.seeds(89)
def test_a_page_about_security() -> None:
    text = page("security.md")
    assert len(re.findall(r"^## .+", text, re.MULTILINE)) >= 3
    for promise in ("127.0.0.1", "signed", "0600", "What it does not do"):
        assert promise in text


@pytest.mark.seeds(94)
def test_pages_about_the_two_interfaces() -> None:
    assert "direct view" in page("running.md")
    assert "load-balanced" in page("scheduling.md")
