"""Clusters from Jupyter: the extension of the server, its interface, its page and its tab."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipyfleet
import pytest
from traitlets.config import Configurable

from .conftest import Home

pytest.importorskip("notebook", reason="needs notebook 7 of requirements-test.txt")


class Notebook:
    """A running ``jupyter notebook``."""

    def __init__(self, home: Home, process: subprocess.Popen[str]) -> None:
        self.home = home
        self.process = process
        end = time.monotonic() + 60
        while not (found := re.search(r"http://(127\S+?)/tree\?token=(\w+)", self.log())):
            assert process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)
        self.address, self.token = f"http://{found[1]}", found[2]
        while not self._answers():  # it tells its address a little before it listens there
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.get("/api")[0] == 200
        except OSError:
            return False

    def log(self) -> str:
        """What it has logged."""
        return (self.home.root / "notebook.log").read_text()

    def get(self, path: str, token: str | None = None) -> tuple[int, str]:
        """Status and text of what is there."""
        return self._ask("GET", path, None, token)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the interface."""
        status, text = self._ask(method, path, body, None)
        return status, json.loads(text) if text else None

    def _ask(self, method: str, path: str, body: Any, token: str | None) -> tuple[int, str]:
        request = urllib.request.Request(
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {token or self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """``jupyter notebook`` in a home where no cluster was ever started."""
    home = Home(tmp_path_factory.mktemp("jupyter"))
    # ipyparallel, which other tests compare with, has such an extension, too.
    settings = home.root / "settings" / "jupyter_server_config.d" / "ipyparallel.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"ServerApp": {"jpserver_extensions": {"ipyparallel": false}}}')
    (home.root / "docs" / "parallel" / "ipyparallel").mkdir(parents=True)
    environment = {
        name: value for name, value in home.environment.items() if not name.startswith("JUPYTER")
    } | {"JUPYTER_CONFIG_PATH": str(home.root / "settings")}
    command = "exec jupyter notebook --no-browser --port=0"
    if Path("/root") == Path.home():
        command += " --allow-root"
    with (home.root / "notebook.log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=home.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield Notebook(home, process)
    finally:
        process.terminate()
        process.wait(30)
        home.shell("ipcluster stop --all")


@pytest.mark.seeds(29)
def test_the_extension_is_loaded(notebook: Notebook) -> None:
    assert "Loading IPython parallel extension" in notebook.log()
    assert "Serving notebooks from local directory" in notebook.log()
    assert "Traceback" not in notebook.log()


@pytest.mark.seeds(31)
def test_start_the_cluster_of_profile_default(notebook: Notebook) -> None:
    assert notebook.get("/tree/docs/parallel/ipyparallel#ipyclusters")[0] == 200
    status, page = notebook.get("/ipyfleet")
    assert (status, "IPython Clusters" in page) == (200, True)
    address = re.search(r'const address = "(.*?)";', page)
    assert address is not None
    assert address[1] == "/ipyfleet/clusters"

    ((status, found), (_, same)) = (
        notebook.ask("GET", f"/{name}/clusters") for name in ("ipyfleet", "ipyparallel")
    )
    assert status == 200
    assert found == same
    assert [(each["id"], each["cluster"]["profile"], "controller" in each) for each in found] == [
        ("default:", "default", False)
    ]
    status, started = notebook.ask("POST", "/ipyparallel/clusters/default:", {"n": 2})
    assert status == 200, started
    assert started["engines"]["n"] == 2
    assert notebook.ask("POST", "/ipyparallel/clusters/default:")[0] == 409
    try:
        shown = notebook.home.python(
            "import ipyfleet as ipp\n"
            "with ipp.Client(timeout=20) as rc:\n"
            "    rc.wait_for_engines(2, timeout=20)\n"
            "    print(rc[:].apply_sync(abs, -7))\n"
        )
        assert shown == "[7, 7]\n"
        listed = notebook.home.shell("ipcluster list --output=json").stdout
        assert len(json.loads(listed)) == 1, listed
    finally:
        stopped, _ = notebook.ask("DELETE", "/ipyparallel/clusters/default:")
    assert stopped == 204
    assert json.loads(notebook.home.shell("ipcluster list --output=json").stdout) == []
    _, found = notebook.ask("GET", "/ipyfleet/clusters")
    assert [(each["id"], "controller" in each) for each in found] == [("default:", False)]


@pytest.mark.seeds(36)
def test_the_tab_of_clusters(notebook: Notebook) -> None:
    status, tree = notebook.get("/tree/#clusters")
    assert status == 200
    data = re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', tree, re.DOTALL)
    assert data is not None
    (ours,) = (
        each for each in json.loads(data[1])["federated_extensions"] if each["name"] == "ipyfleet"
    )
    assert ours["extension"] == "./extension"
    status, script = notebook.get(f"/lab/extensions/ipyfleet/{ours['load']}")
    assert status == 200
    assert '"#clusters"' in script


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "nobody:", None, 404, "there is no cluster 'nobody:'"),
        ("POST", "", {"n": -1}, 400, "n must be a number of engines, not -1"),
        ("POST", "", {"n": "two"}, 400, "not 'two'"),
        ("POST", "", {"profile": 7}, 400, "profile must be text"),
        ("POST", "", {"profile": ".."}, 400, "no name of a profile"),
        ("POST", "", {"engines": "steam"}, 400, "steam"),
        ("POST", "", {"colour": 1}, 400, "a cluster has no colour"),
        ("POST", "", [], 400, "JSON object"),
        ("DELETE", "nobody:", None, 404, "there is no cluster"),
    ],
)
def test_what_cannot_be_done_is_said(
    notebook: Notebook, method: str, path: str, body: Any, status: int, said: str
) -> None:
    address = f"/ipyfleet/clusters/{path}".rstrip("/")
    got, answer = notebook.ask(method, address, body)
    assert got == status, answer
    assert said in answer["message"], answer
    assert "Traceback" not in json.dumps(answer.get("message"))


def test_only_who_has_the_token(notebook: Notebook) -> None:
    for path in ("/ipyfleet", "/ipyfleet/clusters", "/ipyparallel/clusters/default:"):
        status, text = notebook.get(path, token="0" * 40)
        assert status in (401, 403) or "Password or token" in text, (path, status)


def test_a_cluster_of_another_name(notebook: Notebook) -> None:
    status, made = notebook.ask(
        "POST", "/ipyfleet/clusters", {"profile": "other", "cluster_id": "x", "n": 1}
    )
    assert (status, made["id"], made["cluster"]["n"]) == (201, "other:x", 1)
    again, _ = notebook.ask("POST", "/ipyfleet/clusters", {"profile": "other", "cluster_id": "x"})
    assert again == 409
    assert notebook.ask("DELETE", "/ipyfleet/clusters/other%3Ax") == (204, None)


def test_the_address_of_ipyparallel_is_left_to_it() -> None:
    class App(Configurable):
        log = logging.getLogger("test")

        def __init__(self, enabled: dict[str, bool]) -> None:
            super().__init__()
            self.jpserver_extensions = enabled
            self.web_app = self
            self.settings: dict[str, Any] = {"base_url": "/base/"}
            self.added: list[str] = []

        def add_handlers(self, _host: str, handlers: list[tuple[str, Any]]) -> None:
            self.added = [path for path, _ in handlers]

    addresses = ["/base/ipyfleet/?", "/base/ipyfleet/clusters", "/base/ipyfleet/clusters/x"]
    more = ["/base/ipyparallel/clusters", "/base/ipyparallel/clusters/x"]
    for enabled, expected in (({"ipyparallel": True}, addresses), ({}, [*addresses, *more])):
        app = App(enabled)
        ipyfleet.load_jupyter_server_extension(app)
        assert [path.replace("(?P<key>[^/]+)", "x") for path in app.added] == expected
