"""joblib and dask on engines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, Cluster, need_on_engines

T = 60
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@ipp.interactive
def square(x: int) -> int:
    """Return the square."""
    return x * x


@ipp.interactive
def fail(x: int) -> int:
    """Raise an error."""
    raise ValueError(f"not {x}")


@pytest.fixture
def plain(rc: ipp.Client) -> Any:
    """Leave engines and client with the standard pickle."""
    yield
    rc[:].use_pickle().get(T)


def test_joblib_on_a_view(rc: ipp.Client, plain: None) -> None:
    need_on_engines(rc, "joblib", "cloudpickle")
    import joblib

    rc[:].use_cloudpickle().get(T)
    view = rc.load_balanced_view()
    view.register_joblib_backend(name="of-a-view")
    with joblib.parallel_config("of-a-view"):
        parallel = joblib.Parallel()
        assert parallel(joblib.delayed(square)(i) for i in range(20)) == [i * i for i in range(20)]
        pids = joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(30))
        assert set(pids) <= set(rc[:].apply_sync(os.getpid))
        with pytest.raises(ipp.RemoteError, match="not 1"):
            joblib.Parallel()(joblib.delayed(fail)(i) for i in range(1, 2))
    assert view.history


def test_joblib_on_the_default_cluster(
    cluster: Cluster, rc: ipp.Client, plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_on_engines(rc, "joblib", "cloudpickle")
    import joblib

    monkeypatch.setenv("IPP_PROFILE_DIR", str(cluster.profile_dir))
    ipp.register_joblib_backend("of-the-cluster")
    with joblib.parallel_config("of-the-cluster"):
        assert joblib.Parallel()(joblib.delayed(square)(i) for i in range(5)) == [0, 1, 4, 9, 16]


def test_dask(own_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ipp.Client(own_cluster.file, timeout=20) as rc:
        rc.wait_for_engines(ENGINES, timeout=40)
        need_on_engines(rc, "distributed")
        pids = set(rc[:].apply_sync(os.getpid))
        with rc.become_dask() as client:
            client.wait_for_workers(ENGINES, timeout=T)
            futures = client.map(square, range(10), pure=False)
            assert client.gather(futures) == [i * i for i in range(10)]
            assert set(client.run(os.getpid).values()) == pids
        rc.stop_dask()
        assert set(rc[:].apply_sync(os.getpid)) == pids
