"""A client far from its controller, as the overview shows it: the way there is ssh."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from wire.sshd import SSHD, Sshd

from .conftest import Home

pytestmark = pytest.mark.skipif(
    SSHD is None, reason="no sshd; on Debian: apt-get install openssh-server"
)
HOST = "myhub.example.com"
FILE = "path/to/my/ipcontroller-client.json"


@pytest.fixture
def far_home(home: Home, tmp_path: Path) -> Iterator[Home]:
    """The home with the running cluster; its ssh knows myhub.example.com, and notes its tunnels."""
    server = Sshd(tmp_path / "sshd")
    config = tmp_path / "sshd" / "ssh_config"
    config.write_text(
        config.read_text().replace("Host relay", f"Host {HOST}")
        + f"  HostKeyAlias [127.0.0.1]:{server.port}\n"
    )
    note = tmp_path / "started"
    (tmp_path / "sshd" / "bin" / "ssh").write_text(
        f'#!/bin/sh\necho "$@" >>"{note}"\nexec /usr/bin/ssh -F "{config}" "$@"\n'
    )
    copied = home.root / FILE
    copied.parent.mkdir(parents=True, exist_ok=True)
    copied.write_bytes(client_file(home).read_bytes())
    before = home.environment.copy()
    home.environment["PATH"] = f"{tmp_path}/sshd/bin:{before['PATH']}"
    home.environment["SSH_STARTED"] = str(note)
    try:
        yield home
    finally:
        home.environment = before
        server.stop()


def client_file(home: Home) -> Path:
    return home.root / ".ipython" / "profile_default" / "security" / "ipcontroller-client.json"


def ways(home: Home) -> list[str]:
    """The tunnels that were opened, each as the command line of its ssh."""
    note = Path(home.environment["SSH_STARTED"])
    lines = note.read_text().splitlines() if note.exists() else []
    return [line for line in lines if HOST in line]


@pytest.mark.seeds(68)
def test_the_server_is_named(far_home: Home) -> None:
    home = far_home
    text = """\
import ipyparallel as ipp
c = ipp.Client('/path/to/my/ipcontroller-client.json', sshserver='me@myhub.example.com')
print(c[:].apply_sync(lambda: "Hello, World"))
c.close()
"""
    text = text.replace("'/path", f"'{home.root}/path").replace("'me@", f"'{getpass.getuser()}@")
    shown = home.python("import ipyfleet\nipyfleet.install_as_ipyparallel()\n" + text)
    assert shown == f"{['Hello, World'] * 4}\n"
    assert len(ways(home)) == 1, "one connection for all ports"


@pytest.mark.seeds(69)
def test_the_file_names_the_server(far_home: Home) -> None:
    home = far_home
    file = home.root / FILE
    # What `ipcontroller --ssh=...` writes, read on another machine than the controller's.
    info = {"ssh": f"{getpass.getuser()}@{HOST}", "location": "myhub.invalid"}
    file.write_text(json.dumps(json.loads(file.read_text()) | info))
    shown = home.python(
        "import ipyfleet as ipp\n"
        f"c = ipp.Client({str(file)!r})\n"
        "print(c.ids, c[0].apply_sync(abs, -7))\n"
        "c.close()\n"
    )
    assert shown == "[0, 1, 2, 3] 7\n"
    assert len(ways(home)) == 1
