"""Sets of engines that are forked from one process: alike where they should be, apart elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import ipyparallel as ipp
import pytest

from .harness import alive, wait_until
from .test_real_cluster import RealSandbox, engine_pids, real  # noqa: F401

N = 3


def parent_of(pid: int) -> int:
    """Parent process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_of(pid: int) -> str:
    """Command line."""
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@ipp.interactive
def character() -> tuple[object, ...]:
    """What must differ between engines."""
    import os
    import random
    import uuid

    import numpy as np

    group = os.getpgid(0)
    return random.random(), float(np.random.random()), str(uuid.uuid4()), group


@pytest.fixture
def rc(real: RealSandbox) -> Iterator[ipp.Client]:  # noqa: F811
    """A client on a forked set with numpy preloaded."""
    real.start("-n", str(N), "--preload=numpy,no_such_package_here")
    client = real.client()
    wait_until(lambda: client.ids == list(range(N)), "all engines", 20)
    yield client
    client.close()
    assert real.run("stop").returncode == 0
    real.assert_nothing_left()


def fork_server(rc: ipp.Client) -> int:
    """Its pid; all engines are its children."""
    [server] = {parent_of(pid) for pid in engine_pids(rc)}
    assert "--fork-server=" in command_of(server)
    return server


def back(rc: ipp.Client, old: int) -> int:
    """Engine 0 as another process."""

    def look() -> int | None:
        if 0 not in rc.ids:
            return None
        try:
            pid = rc[0].apply_async(os.getpid).get(timeout=5)
        except (ipp.RemoteError, ipp.TimeoutError):
            return None
        return pid if pid != old else None

    return wait_until(look, "engine 0 is back", 20)


def test_engines_are_alike_and_apart(rc: ipp.Client, real: RealSandbox) -> None:  # noqa: F811
    server = fork_server(rc)
    assert rc[:].apply_sync(ipp.interactive(lambda: "numpy" in __import__("sys").modules))
    columns = list(zip(*rc[:].apply_sync(character), strict=True))
    for column in columns:
        assert len(set(column)) == N, "something is the same in all engines"
    assert len(rc[:].apply_sync(os.getpid)) == N
    [log] = (real.profile / "log").glob("*fork-server.log")
    assert "no_such_package_here cannot be imported: ModuleNotFoundError" in log.read_text()
    rc[0].apply_sync(ipp.interactive(lambda: __import__("os").chdir("/")))
    assert rc[1].apply_sync(os.getcwd) != "/"
    rc[0].execute("import os; os.environ['ONLY_HERE'] = '1'", block=True)
    assert rc[1].apply_sync(os.getenv, "ONLY_HERE") is None
    assert server not in engine_pids(rc)


def test_a_crashed_engine_is_forked_again(rc: ipp.Client) -> None:
    server = fork_server(rc)
    pids = engine_pids(rc)
    os.kill(pids[0], signal.SIGKILL)
    assert parent_of(back(rc, pids[0])) == server
    assert rc.ids == list(range(N))
    assert engine_pids(rc)[1:] == pids[1:]


def test_engines_outlive_the_fork_server(rc: ipp.Client) -> None:
    server = fork_server(rc)
    pids = engine_pids(rc)
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not alive(server), "the fork server is gone")
    assert engine_pids(rc) == pids
    os.kill(pids[0], signal.SIGKILL)
    new = back(rc, pids[0])
    assert "--fork-from=" in command_of(parent_of(new)), "started from scratch, by its nanny"


def test_the_end_of_one_engine_disturbs_no_other(rc: ipp.Client) -> None:
    server = fork_server(rc)
    pids = engine_pids(rc)
    os.kill(pids[0], signal.SIGTERM)
    wait_until(lambda: rc.ids == list(range(1, N)), "engine 0 has left")
    assert rc[:].apply_async(os.getpid).get(timeout=20) == pids[1:]
    assert alive(server)


def test_from_scratch_on_demand(real: RealSandbox) -> None:  # noqa: F811
    real.start("-n", "2", "--no-fork")
    rc = real.client()
    wait_until(lambda: rc.ids == [0, 1], "both engines", 20)
    assert len({parent_of(pid) for pid in engine_pids(rc)}) == 2
    rc.close()
    assert real.run("stop").returncode == 0


def test_a_set_in_another_python_is_forked_too(
    real: RealSandbox,  # noqa: F811
    tmp_path: Path,
) -> None:
    # A copy of the program is another installation: the engines are modules of that Python.
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / "lib").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), tmp_path / "bin" / name)
    (tmp_path / "bin/python3").symlink_to(name)
    real.env["VIRTUAL_ENV"] = sys.prefix  # another one, which has no say
    for entry in Path(sys.base_prefix, "lib").glob(f"*{name}*"):
        (tmp_path / "lib" / entry.name).symlink_to(entry)
    real.env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p.endswith("site-packages"))
    real.start("-n", "2", f"--python={tmp_path}")
    client = real.client()
    wait_until(lambda: client.ids == [0, 1], "all engines", 20)
    pids = engine_pids(client)
    assert parent_of(pids[0]) == parent_of(pids[1])
    assert (
        client[:].apply_sync(ipp.interactive(lambda: __import__("sys").prefix))
        == [str(tmp_path)] * 2
    )
    os.kill(pids[0], signal.SIGKILL)
    assert parent_of(back(client, pids[0])) == parent_of(pids[1])
    client.close()
    assert real.run("stop").returncode == 0
    real.assert_nothing_left()
