"""Launchers: their names, their traits, and those that others have written in Python."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipyfleet as ipp
import pytest
from cluster_traces import Traces
from conftest import run_example
from ipyfleet.cluster import launcher, launchers, native, registry

peer: Any = pytest.importorskip("ipyparallel.cluster.launcher")


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    """A profile of the test's own; nothing of it may be left."""
    made = Traces(tmp_path / "profile_test")
    yield made
    made.check_and_clean()


PEER_CLASSES = [
    name
    for name, cls in vars(peer).items()
    if isinstance(cls, type) and issubclass(cls, peer.BaseLauncher)
]


@pytest.mark.parametrize("name", PEER_CLASSES)
def test_every_launcher_class_is_there_with_its_traits(name: str) -> None:
    ours: Any = getattr(launchers, name, None) or getattr(launcher, name)
    theirs = getattr(peer, name)
    assert {*theirs.class_traits(config=True)} <= {*ours.class_traits(config=True)}
    assert {*theirs.class_traits(to_dict=True)} <= {*ours.class_traits(to_dict=True)}
    # A section of a configuration file counts for the same classes.
    bases = {each.__name__ for each in theirs.__mro__ if issubclass(each, peer.BaseLauncher)}
    assert bases <= {each.__name__ for each in ours.__mro__}


@pytest.mark.parametrize(
    ("role", "given", "name"),
    [
        ("engine", "Local", "LocalEngineSetLauncher"),
        ("controller", "local", "LocalControllerLauncher"),
        ("engine", "localENGINESETlauncher", "LocalEngineSetLauncher"),
        ("engine", "ipyparallel.cluster.launcher.SSHEngineSetLauncher", "SSHEngineSetLauncher"),
        ("engine", "ipyparallel.cluster.launcher:SlurmEngineSetLauncher", "SlurmEngineSetLauncher"),
        ("engine", "IPython.parallel.apps.launcher.PBSEngineSetLauncher", "PBSEngineSetLauncher"),
        ("engine", "MPIExecEngineSetLauncher", "MPIEngineSetLauncher"),
        ("engine", "WindowsHPC", "WindowsHPCEngineSetLauncher"),
        ("engine", "WinHPC", "WindowsHPCEngineSetLauncher"),
        ("engine", "SSHProxy", "SSHProxyEngineSetLauncher"),
        ("engine", "ipyfleet-sge", "SGEEngineSetLauncher"),
        ("controller", "HTCondor", "HTCondorControllerLauncher"),
    ],
)
def test_names(role: Any, given: str, name: str) -> None:
    assert registry.find(role, given).__name__ == name


def test_wrong_names_tell_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"no controller launcher 'sshproxy'; there are batch, .*"):
        registry.find("controller", "sshproxy")
    with pytest.raises(ValueError, match=r"'no_such_module.Class' cannot be loaded"):
        registry.find("engine", "no_such_module.Class")
    with pytest.raises(Exception, match="is no launcher class"):
        ipp.Cluster(engines=dict)


def test_settings_are_what_is_not_usual() -> None:
    config = ipp.Cluster().config.copy()
    config.SlurmLauncher.account = "physics"
    config.SlurmEngineSetLauncher.timelimit = 30
    config.BatchSystemLauncher.namespace = {"a": 1}
    made = launchers.SlurmEngineSetLauncher(config=config, profile_dir="/p", cluster_id="c")
    assert made.settings() == {"account": "physics", "timelimit": 30, "namespace": {"a": 1}}
    made.engine_args = ["--debug"]
    options = made.native_options()
    assert options["args"] == ["--debug"]
    assert options["command"] == [native.program("ipengine")]
    ssh = launchers.SSHEngineSetLauncher(engines={"a": 2, "b": {"n": 3}, "c": (1, [])})
    assert ssh.engine_count == 6


class SleepyLauncher(launcher.EngineLauncher):
    """Written in Python: engines as processes of asyncio."""

    async def start(self, n: int) -> None:
        self.n = n
        env = {**os.environ, **self.get_env()}
        self.processes = [
            await asyncio.create_subprocess_exec(*self.args, env=env, stderr=subprocess.DEVNULL)
            for _ in range(n)
        ]
        self.notify_start([each.pid for each in self.processes])
        self.waiter = asyncio.ensure_future(self.wait())

    async def wait(self) -> None:
        codes = [await each.wait() for each in self.processes]
        self.notify_stop({"exit_code": max(codes)})

    def signal(self, sig: int) -> None:
        for each in self.processes:
            if each.returncode is None:
                each.send_signal(sig)

    async def stop(self) -> None:
        self.signal(15)
        await self.waiter


def test_a_launcher_in_python(traces: Traces) -> None:
    cluster = ipp.Cluster(n=2, engines=SleepyLauncher, profile_dir=str(traces.profile_dir))
    with cluster as rc:
        assert len(rc) == 2
        content = cluster.to_dict()
        assert content["engines"]["class"] == "test_cluster_launchers:SleepyLauncher"
        (engine_set,) = cluster.engines.values()
        assert engine_set.running
        assert "IPP_CONNECTION_INFO" in engine_set.environment
    assert engine_set.stop_data == {"exit_code": 0}


def test_single_engines_of_a_launcher_that_knows_only_the_set(traces: Traces) -> None:
    class NoSignals(SleepyLauncher):
        def signal(self, sig: int) -> None:
            if sig != 15:
                raise NotImplementedError("a batch system without signals")
            super().signal(sig)

    cluster = ipp.Cluster(n=2, engines=NoSignals, profile_dir=str(traces.profile_dir))
    with cluster as rc:
        sleeping = rc[:].apply_async(time.sleep, 60)
        end = time.monotonic() + 30
        while not all(rc.queue_status()[each]["queue"] for each in (0, 1)):
            assert time.monotonic() < end
            time.sleep(0.01)
        cluster.signal_engine_sync(2, 1)
        cluster.signal_engines_sync(2)
        with pytest.raises(ipp.CompositeError, match="KeyboardInterrupt"):
            sleeping.get(timeout=20)
        cluster.stop_engine_sync(1)
        while rc.ids != [0]:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_launcher_written_for_ipyparallel(traces: Traces) -> None:
    class Theirs(peer.LocalEngineSetLauncher):
        engine_cmd = [native.program("ipengine")]  # noqa: RUF012

    cluster = ipp.Cluster(n=2, engines=Theirs, profile_dir=str(traces.profile_dir))
    with cluster as rc:
        assert len(rc[:].apply_sync(os.getpid)) == 2


def test_a_launcher_of_another_package_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "thirdparty-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[ipyparallel.engine_launchers]\nTheirs = thirdparty:Theirs\n"
        "[ipyfleet.engine_launchers]\nours = thirdparty:Ours\n"
        "broken = thirdparty:Missing\n"
    )
    (tmp_path / "thirdparty.py").write_text(
        "from ipyfleet.cluster.launchers import LocalEngineSetLauncher as L\n"
        "class Theirs(L): pass\nclass Ours(L): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert registry.find("engine", "theirs").__name__ == "Theirs"
    assert registry.find("engine", "OURS").__name__ == "Ours"
    assert registry.abbreviate("engine", registry.find("engine", "ours")) == "ours"
    assert {"theirs", "ours", "slurm"} <= {*registry.known_names("engine")}
    with pytest.raises(ValueError, match=r"'broken' cannot be loaded: .*Missing"):
        registry.find("engine", "broken")
    sys.modules.pop("thirdparty", None)


def test_a_cluster_of_ipyparallel_with_our_launchers(traces: Traces) -> None:
    their_ipp: Any = importlib.import_module("ipyparallel")
    ours: Any = importlib.import_module("ipyfleet.cluster.peer")
    cluster = their_ipp.Cluster(
        n=2,
        controller=ours.FleetControllerLauncher,
        engines=ours.FleetEngineSetLauncher,
        profile_dir=str(traces.profile_dir),
        delay=0,
    )
    with cluster as rc:
        assert type(rc).__module__.startswith("ipyparallel")
        first = rc[:].apply_sync(os.getpid)
        cluster.restart_engines_sync()
        end = time.monotonic() + 30
        while len(rc) != 2 or {*rc[:].apply_sync(os.getpid)} & {*first}:
            assert time.monotonic() < end
            time.sleep(0.05)
        again = their_ipp.Cluster.from_file(cluster.cluster_file)
        assert again.controller.running


@pytest.mark.parametrize("role", ["controller", "engine"])
def test_ipyparallel_finds_all_our_launchers(role: str) -> None:
    from importlib.metadata import entry_points

    found = {
        each.name: each.load()
        for each in entry_points(group=f"ipyparallel.{role}_launchers")
        if each.value.startswith("ipyfleet.")
    }
    for name in {*registry.SHORT_NAMES} - {"local"}:
        if (role, name) == ("controller", "sshproxy"):
            continue
        cls = found[f"ipyfleet-{name}"]
        assert issubclass(cls, peer.BaseLauncher)
        ours: Any = registry.find(role, name)  # type: ignore[arg-type]
        assert {*ours.class_traits(config=True)} - {"fork"} <= {*cls.class_traits(config=True)}
    assert issubclass(found["ipyfleet"], peer.BaseLauncher)


def test_the_example(tmp_path: Path) -> None:
    done = run_example("own_launcher.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "engines: [0, 1]\nnumbers: [0, 1]\n"
