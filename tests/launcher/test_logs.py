"""Logs: kept, limited, structured if asked for, and without secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import ipyfleet as ipp
import pytest
from ipyfleet._native import prune_logs


def test_old_logs_go_when_there_are_many(tmp_path: Path) -> None:
    logs = tmp_path / "log"
    logs.mkdir()
    (tmp_path / "security").mkdir()
    gone = ["ipcontroller-c-99999999.log", "ipengine-c-1-0.log", "ipengine-c-1-1.1.log"]
    kept = [
        "ipcontroller-c-77.1.log",  # the cluster file names it
        f"ipcontroller-other-{os.getpid()}.log",  # as its end says, the process lives
        "ipengine-c-2-1.log",  # one of an array whose stem the cluster file names
        "enginesc.json",
    ]
    late = [f"ipengine-c-3-{i}.log" for i in range(3)]
    for age, name in enumerate(gone + kept + late):
        (logs / name).write_text("x" * 100)
        os.utime(logs / name, (1000 + age, 1000 + age))
    (tmp_path / "security" / "cluster-c.json").write_text(
        '{"a": "/x/log/ipcontroller-c-77.log", "b": "/x/log/ipengine-c-2.log"}'
    )
    assert prune_logs(str(tmp_path), files_max=9) == 0
    assert prune_logs(str(tmp_path), files_max=6) == 3
    assert {each.name for each in logs.iterdir()} == {*kept, *late}
    assert prune_logs(str(tmp_path), bytes_max=550) == 1
    assert prune_logs(str(tmp_path), files_max=0) == 2
    assert {each.name for each in logs.iterdir()} == {*kept}


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
    cluster.config.EngineLauncher.engine_args = ["--log-level=debug", "--log-to-file"]
    payload = "a-payload-that-nobody-may-log"
    with cluster as rc:
        key = json.loads((profile / "security" / "ipcontroller-c-client.json").read_text())["key"]
        assert rc[0].apply_sync(str.upper, payload) == payload.upper()
        rc[0].push({"variable": payload}, block=True)
        rc[0].execute(f"raise ValueError({payload!r})", block=False).wait(20)
    texts = {each.name: each.read_text() for each in (profile / "log").glob("*.log")}
    assert len(texts) == 4, "controller, its file, engine, its file"
    for name, text in texts.items():
        for secret in (key, payload, payload.upper()):
            assert secret not in text, name
        assert text, name
        for line in text.splitlines() if form == "json" else ():
            assert {"time", "name", "pid", "level", "text"} == {*json.loads(line)}, line
        assert (profile / "log" / name).stat().st_mode & 0o077 == 0, name
