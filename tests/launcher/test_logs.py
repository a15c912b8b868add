"""Logs: kept, limited, structured if asked for, and without secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import ipyfleet as ipp
import pytest
from ipyfleet._native import prune_logs

from .harness import wait_until


def test_old_logs_go_when_there_are_many(tmp_path: Path) -> None:
    for name in ("log", "security"):
        (tmp_path / name).mkdir()
    for i in range(10):
        file = tmp_path / "log" / f"ipengine-c-1-{i}.log"
        file.write_text("x" * 100)
        os.utime(file, (1000 + i, 1000 + i))
    (tmp_path / "log" / "enginesc.json").write_text("{}")
    (tmp_path / "security" / "cluster-c.json").write_text('{"output_file": "ipengine-c-1-0.log"}')
    assert prune_logs(str(tmp_path), files_max=10) == 0
    assert prune_logs(str(tmp_path), files_max=7) == 3
    left = sorted(each.name for each in (tmp_path / "log").iterdir())
    assert left[:2] == ["enginesc.json", "ipengine-c-1-0.log"], "in use"
    assert left[2] == "ipengine-c-1-4.log"
    assert prune_logs(str(tmp_path), bytes_max=250) == 5


@pytest.mark.parametrize("form", ["text", "json"])
def test_logs_have_no_key_and_no_payload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("IPYFLEET_LOG_FORMAT", form)
    profile = tmp_path / "profile_test"
    cluster = ipp.Cluster(
        n=1,
        profile_dir=str(profile),
        cluster_id="c",
        controller_args=["--log-level=debug", "--log-to-file"],
    )
    cluster.config.EngineLauncher.engine_args = ["--log-level=debug"]
    payload = "a-payload-that-nobody-may-log"
    with cluster as rc:
        key = json.loads((profile / "security" / "ipcontroller-c-client.json").read_text())["key"]
        assert rc[0].apply_sync(str.upper, payload) == payload.upper()
        rc[0].push({"variable": payload}, block=True)
        rc[0].execute(f"raise ValueError({payload!r})", block=False).wait(20)
    wait_until(lambda: list((profile / "log").glob("*.log")), "logs are kept")
    texts = {each.name: each.read_text() for each in (profile / "log").glob("*.log")}
    assert len(texts) >= 3, "controller, its file, engine"
    for name, text in texts.items():
        for secret in (key, payload, payload.upper()):
            assert secret not in text, name
        for line in text.splitlines() if form == "json" and name.startswith("ipc") else ():
            assert {"time", "name", "pid", "level", "text"} == {*json.loads(line)}, line
        assert (profile / "log" / name).stat().st_mode & 0o077 == 0, name
