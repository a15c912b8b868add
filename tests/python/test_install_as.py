"""Programs written for ipyparallel run unchanged on this package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ENGINES, Cluster

# Written as its users write: nothing in it knows this package.
PROGRAM = """
import ipyparallel as ipp
import ipyparallel
from ipyparallel import AsyncResult, Client, DirectView, Reference, depend, error, require
from ipyparallel.client.asyncresult import AsyncMapResult
from ipyparallel.client.view import LoadBalancedView, ViewExecutor
from ipyparallel.client.remotefunction import ParallelFunction
from ipyparallel.controller.dependency import Dependency
from ipyparallel.datapub import publish_data
from ipyparallel.error import CompositeError, RemoteError
from ipyparallel.serialize import can, uncan
from ipyparallel.util import interactive
import ipyparallel.serialize.canning

def square(x):
    return x * x

with ipp.Client(FILE, timeout=20) as rc:
    rc.wait_for_engines(n=ENGINES, timeout=40)
    e_all = rc[:]
    assert isinstance(e_all, DirectView)
    ar = e_all.apply_sync(square, 3)
    ar.wait_interactive()
    assert ar.get() == [9] * ENGINES
    ar = e_all.apply_async(square, 4)
    ar.wait_interactive()
    assert isinstance(ar, AsyncResult)
    assert ar.get() == [16] * ENGINES
    view = rc.load_balanced_view()
    assert isinstance(view, LoadBalancedView)
    amr = view.map_async(square, range(20))
    assert isinstance(amr, AsyncMapResult)
    assert list(amr) == [x * x for x in range(20)]

    @e_all.parallel(block=True)
    def double(part):
        return [2 * x for x in part]

    assert isinstance(double, ParallelFunction)
    assert double([1, 2, 3]) == [2, 4, 6]
    e_all["a"] = 5
    assert e_all.apply_sync(lambda x: x + 1, Reference("a")) == [6] * ENGINES
    first = view.apply_async(square, 2)
    with view.temp_flags(after=Dependency([first])):
        assert view.apply_async(square, 5).get() == 25
    try:
        e_all.execute("1 / 0", block=True)
    except CompositeError as caught:
        assert isinstance(caught, error.RemoteError)
        assert caught.elist[0][0] == "ZeroDivisionError"
    else:
        raise AssertionError("no error")

    @require("math")
    def root(x):
        return math.sqrt(x)

    assert view.apply_sync(root, 9) == 3
    with view.executor as executor:
        assert isinstance(executor, ViewExecutor)
        assert list(executor.map(square, [1, 2])) == [1, 4]
    assert ipyparallel.version_info >= (9, 0)
    assert ipyparallel.__version__.startswith("9.")
print("all is well", Client.__module__)
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | environment,
    )


def test_a_program_runs_unchanged(cluster: Cluster) -> None:
    setup = f"import ipyfleet; ipyfleet.install_as_ipyparallel(); FILE = {str(cluster.file)!r}"
    done = run(f"{setup}; ENGINES = {ENGINES}\n{PROGRAM}", "-W", "error")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all is well ipyfleet.client\n")
    assert done.stderr == ""


def test_the_same_program_runs_on_the_real_one(cluster: Cluster) -> None:
    """But for the spelling that fails there."""
    pytest.importorskip("ipyparallel")
    program = PROGRAM.replace(
        "    ar = e_all.apply_sync(square, 3)\n    ar.wait_interactive()\n"
        "    assert ar.get() == [9] * ENGINES\n",
        "",
    )
    done = run(f"FILE = {str(cluster.file)!r}; ENGINES = {ENGINES}\n{program}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all is well ipyparallel.client.client\n")


def test_every_module_has_its_names() -> None:
    code = """
import importlib, ipyfleet
ipyfleet.install_as_ipyparallel()
ipyfleet.install_as_ipyparallel()
from ipyfleet import install
for name in install._SOURCES:
    dotted = f"ipyparallel.{name}".rstrip(".")
    try:
        module = importlib.import_module(dotted)
    except ModuleNotFoundError:
        assert name == "cluster", name
        continue
    for each in module.__all__:
        assert getattr(module, each) is not None, (dotted, each)
    assert {"__all__"} <= set(dir(module))
import ipyparallel as ipp
assert ipp.Client is ipyfleet.Client
assert ipp.client.view.DirectView is ipyfleet.DirectView
try:
    ipp.nothing_of_the_kind
except AttributeError as failure:
    assert "ipyfleet" in str(failure)
else:
    raise AssertionError
try:
    import ipyparallel.nbextension
except ModuleNotFoundError as failure:
    assert "ipyfleet stands for ipyparallel" in str(failure)
else:
    raise AssertionError
"""
    done = run(code, "-W", "error")
    assert done.returncode == 0, done.stderr


def test_too_late() -> None:
    pytest.importorskip("ipyparallel")
    done = run("import ipyparallel, ipyfleet; ipyfleet.install_as_ipyparallel()")
    assert done.returncode == 1
    assert "RuntimeError: ipyparallel is imported already" in done.stderr


def test_the_package_imports_fast_and_without_warnings(tmp_path: Path) -> None:
    code = """
import sys, time
begin = time.perf_counter()
import ipyfleet
ipyfleet.Client, ipyfleet.AsyncResult, ipyfleet.LoadBalancedView, ipyfleet.DirectView
print(time.perf_counter() - begin)
heavy = {"IPython", "traitlets", "numpy", "zmq", "tornado", "asyncio", "tqdm"} & set(sys.modules)
assert not heavy, heavy
"""
    done = run(code, "-W", "error")
    assert done.returncode == 0, done.stderr
