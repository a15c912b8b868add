"""Connecting, engines, views and the end of a client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import ipyfleet as ipp
import pytest
from conftest import ENGINES, START_SECONDS, Cluster, wait_until

T = 30.0

# Functions of this file travel by value, as if they were typed in: engines cannot import it.
__name__ = "__main__"


def test_the_package_imports_in_a_moment_and_without_the_client() -> None:
    code = (
        "import sys, time; start = time.process_time(); import ipyfleet;"
        "spent = time.process_time() - start;"
        "assert not {'IPython', 'numpy', 'ipyfleet._native'} & set(sys.modules);"
        "ipyfleet.Client; assert not {'IPython', 'numpy'} & set(sys.modules);"
        "print(spent)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.1


def test_all_names_of_the_package_exist() -> None:
    for name in ipp.__all__:
        assert getattr(ipp, name) is not None
        assert name in dir(ipp)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ipp.no_such_name


@pytest.mark.parametrize("how", ["file", "url_file", "dict", "text", "profile_dir", "profile"])
def test_ways_to_name_a_cluster(cluster: Cluster, how: str) -> None:
    text = cluster.file.read_text()
    args, kwargs = {
        "file": ((cluster.file,), {}),
        "url_file": ((), {"url_file": str(cluster.file)}),
        "dict": ((json.loads(text),), {}),
        "text": ((text,), {}),
        "profile_dir": ((), {"profile_dir": cluster.profile_dir}),
        "profile": ((), {"profile": "default", "ipython_dir": cluster.ipython_dir}),
    }[how]
    with ipp.Client(*args, timeout=20, **kwargs) as rc:
        rc.wait_for_engines(ENGINES, timeout=START_SECONDS)
        assert rc[rc.ids[0]].apply_sync(lambda: 42) == 42


def test_the_environment_names_the_profile(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IPP_PROFILE_DIR", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(cluster.ipython_dir))
    with ipp.Client(timeout=20) as rc:
        assert str(cluster.file) in repr(rc)


def test_without_a_cluster_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ipcluster start"):
        ipp.Client(ipython_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"own-client\.json"):
        ipp.Client(profile_dir=tmp_path, cluster_id="own")


def test_wrong_connection_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="key"):
        ipp.Client({"interface": "tcp://127.0.0.1"})
    with pytest.raises(ValueError, match="profile"):
        ipp.Client(profile="../x", ipython_dir=tmp_path)


def test_a_dead_controller_is_a_timeout(cluster: Cluster) -> None:
    info = json.loads(cluster.file.read_text()) | {"registration": 1}
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="controller"):
        ipp.Client(info, timeout=0.3)
    assert time.monotonic() - start < 10


def test_a_wrong_key_gets_no_answer(cluster: Cluster) -> None:
    info = json.loads(cluster.file.read_text()) | {"key": "guessed"}
    with pytest.raises(TimeoutError):
        ipp.Client(info, timeout=0.5)


def test_ids_and_indexing(rc: ipp.Client) -> None:
    ids = rc.ids
    assert ids == sorted(ids)
    assert len(rc) == len(ids) == ENGINES
    assert rc[ids[0]].targets == ids[0]
    assert rc[-1].targets == ids[-1]
    assert rc[:].targets == ids
    assert rc[::2].targets == ids[::2]
    assert rc[ids[1], ids[0]].targets == [ids[1], ids[0]]
    assert [view.targets for view in rc] == ids
    assert rc.direct_view("all").targets == "all"
    assert len(rc[:]) == len(rc.direct_view()) == len(rc.load_balanced_view()) == ENGINES


def test_engines_that_do_not_exist(rc: ipp.Client) -> None:
    for key in (10_000, -10_000, [rc.ids[0], 10_000]):
        with pytest.raises(IndexError, match="No such engine"):
            _ = rc[key]
    for key in ("all", 1.5, None):
        with pytest.raises(TypeError):
            _ = rc[key]
    with pytest.raises(TypeError, match="'all'"):
        rc.direct_view("some")


def test_waiting_for_too_many_engines(rc: ipp.Client) -> None:
    with pytest.raises(TimeoutError, match=f"Currently ready: {ENGINES}"):
        rc.wait_for_engines(1000, timeout=0.2)


@pytest.mark.seeds(3)
def test_a_new_engine_is_noticed_and_a_lost_one_too(own_cluster: Cluster) -> None:
    with ipp.Client(own_cluster.file, timeout=20) as rc:
        rc.wait_for_engines(ENGINES, timeout=START_SECONDS)
        before = rc.ids
        own_cluster.start_engine()
        rc.wait_for_engines(ENGINES + 1, timeout=START_SECONDS)
        new = (set(rc.ids) - set(before)).pop()
        pid = rc[new].apply_sync(os.getpid)
        doomed = rc[new].apply_async(time.sleep, 600)
        both = rc[:].apply_async(time.sleep, 3)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ipp.EngineError, match=f"Engine {new} died while running") as caught:
            doomed.get(timeout=T)
        assert isinstance(caught.value, ipp.RemoteError)
        assert caught.value.ename == "EngineError"
        wait_until(lambda: rc.ids == before, "the lost engine left the list", T)
        assert both.progress == 1
        assert not doomed.successful()
        assert doomed.engine_id == new
        with pytest.raises(IndexError):
            _ = rc[new]


def test_shutdown_of_one_engine_and_then_of_everything(own_cluster: Cluster) -> None:
    rc = ipp.Client(own_cluster.file, timeout=20)
    rc.wait_for_engines(ENGINES, timeout=START_SECONDS)
    first, second = rc.ids
    rc.shutdown(targets=first, block=True)
    wait_until(lambda: rc.ids == [second], "the engine that was shut down left the list", T)
    rc.shutdown(hub=True)
    assert rc.closed
    with pytest.raises(ConnectionError):
        rc.load_balanced_view().apply_async(os.getpid)
    for process in own_cluster._processes:
        process.wait(T)
    rc.close()


def test_closing_fails_what_is_outstanding(cluster: Cluster) -> None:
    rc = ipp.Client(cluster.file, timeout=20)
    rc.wait_for_engines(ENGINES, timeout=START_SECONDS)
    result = rc[0].apply_async(time.sleep, 1)
    rc.close()
    with pytest.raises(ipp.KernelError, match="closed"):
        result.get(timeout=T)
    with pytest.raises(ConnectionError, match="closed"):
        rc.queue_status()
    assert "closed" in repr(rc)


def test_close_during_a_wait_ends_it(cluster: Cluster) -> None:
    rc = ipp.Client(cluster.file, timeout=20)
    rc.wait_for_engines(ENGINES, timeout=START_SECONDS)
    result = rc[0].apply_async(time.sleep, 1)
    closer = threading.Timer(0.1, rc.close)
    closer.start()
    with pytest.raises(ipp.KernelError, match="closed"):
        result.get(timeout=T)
    closer.join()


def test_a_forked_child_gets_a_clear_error(rc: ipp.Client) -> None:
    result = rc[0].apply_async(time.sleep, 0.5)
    child = os.fork()
    if child == 0:
        wrong = 1
        try:
            for use in (
                lambda: rc[0].apply_async(os.getpid),
                result.get,
                rc.queue_status,
                rc.close,
            ):
                try:
                    use()
                except RuntimeError as failure:
                    wrong = int("process" not in str(failure))
                else:
                    wrong = 2
                if wrong:
                    break
        finally:
            os._exit(wrong)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert result.get(timeout=T) is None


@pytest.mark.parametrize("what", ["result", "output", "engines", "iteration"])
def test_control_c_ends_a_wait(rc: ipp.Client, what: str) -> None:
    result = rc[:].apply_async(time.sleep, 1.5)
    waits = {
        "result": result.get,
        "output": result.wait_for_output,
        "engines": lambda: rc.wait_for_engines(1000),
        "iteration": lambda: list(result),
    }
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        waits[what]()
    assert time.monotonic() - start < 1.2
    timer.join()
    assert result.get(timeout=T) == [None] * ENGINES


def test_all_modules_import_without_a_warning() -> None:
    """Only those that belong to programs that may be missing are left out."""
    package = Path(ipp.__file__).parent
    names = sorted(
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for path in package.rglob("*.py")
        if path.name != "__main__.py" and "engine" not in path.parts
    )
    assert len(names) > 30
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import {', '.join(names)}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
