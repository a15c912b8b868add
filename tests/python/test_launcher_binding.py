"""ipyfleet._native.Launcher: the launchers of C++ as Python sees them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ipyfleet._native import Launcher

if TYPE_CHECKING:
    from ipyfleet._native import LaunchExit


def options(profile: Path, *command: str, **more: Any) -> dict[str, Any]:
    for name in ("security", "log", "pid"):
        (profile / name).mkdir(parents=True, exist_ok=True)
    return {"profile_dir": str(profile), "cluster_id": "x", "command": list(command), **more}


def ends(launcher: Launcher, count: int) -> list[LaunchExit]:
    """Poll until so many programs have ended."""
    found: list[LaunchExit] = []
    deadline = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.005)
        found += launcher.poll()
    return found


def test_start_signal_stop_one_and_all(tmp_path: Path) -> None:
    launcher = Launcher.make("engines", "Local", options(tmp_path, "sleep", "600", set_id="7"))
    assert launcher.class_name() == "LocalEngineSetLauncher"
    assert not launcher.running()
    assert launcher.state() == {}
    launcher.start(3)
    try:
        state = launcher.state()
        assert state["n"] == 3
        assert set(state["engines"]) == {"0", "1", "2"}
        assert launcher.output_files()[1] == str(tmp_path / "log" / "ipengine-x-7-1.log")
        launcher.signal(signal.SIGINT, 1)
        (ended,) = ends(launcher, 1)
        assert (ended["index"], ended["exit_code"], ended["signal"]) == (1, None, signal.SIGINT)
        launcher.restart(1)
        assert launcher.state()["n"] == 3
        launcher.stop(index=0)
        assert [one["index"] for one in ends(launcher, 1)] == [0]
    finally:
        launcher.stop(kill=True)
    assert {one["index"] for one in ends(launcher, 2)} == {1, 2}
    assert not launcher.running()


def test_restore_from_a_state(tmp_path: Path) -> None:
    first = Launcher.make("controller", "local", options(tmp_path, "sh", "-c", "sleep 600; exit 3"))
    first.start()
    state = first.state()
    second = Launcher.restore("controller", "local", state)
    assert second.running()
    second.stop(kill=True)
    assert ends(first, 1)[0]["signal"] == signal.SIGKILL
    assert ends(second, 1)[0]["text"] == "its exit status is not known"
    with pytest.raises(LookupError, match="nothing that the recorded LocalControllerLauncher"):
        Launcher.restore("controller", "local", state)


def test_errors_say_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown engine launcher 'x'; known are: .*local"):
        Launcher.make("engines", "x")
    with pytest.raises(ValueError, match=r"has no setting 'queue'; known are: .*environment"):
        Launcher.make("engines", "local", {"settings": {"queue": "long"}})
    with pytest.raises(ValueError, match="'controller' or 'engines'"):
        Launcher.names("hub")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown launcher option 'comand'"):
        Launcher.make("engines", "local", {"comand": []})
    launcher = Launcher.make("controller", "local", options(tmp_path, "/no/such/program"))
    with pytest.raises(OSError, match="/no/such/program"):
        launcher.start()
    assert "local" in Launcher.names("controller")
    assert Launcher.short_name("engines", "LocalEngineSetLauncher") == "local"


def test_environment_of_the_started_program(tmp_path: Path) -> None:
    line = 'echo "$IPP_CLUSTER_ID $IPP_PROFILE_DIR $MINE ${HOME-none}"'
    launcher = Launcher.make(
        "controller",
        "local",
        options(
            tmp_path,
            "sh",
            "-c",
            line,
            environment={"MINE": "a b", "HOME": None},
            settings={"environment": {"MINE": "c"}},
        ),
    )
    launcher.start()
    (ended,) = ends(launcher, 1)
    assert ended["exit_code"] == 0
    assert Path(ended["output_file"]).read_text() == f"x {tmp_path} c none\n"
    assert os.path.samefile(launcher.output_files()[0], ended["output_file"])
