"""Which Python an engine runs, and engines in a Python that ipengine cannot embed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError

from .conftest import StackFactory
from .pairings import B, C
from .polling import wait_until
from .stack import Stack
from .test_engine_restart import crash, wait_for_other
from .test_hostile_process import everything_visible

T = 20.0

pytestmark = pytest.mark.pairings(B, C, why="our engines")


def make_conda(root: Path) -> Path:
    """Another installation of this Python, as far as a conda environment is one.

    The program is a copy and the library is the system's; packages are those of this environment.
    """
    prefix = root / "conda"
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    program = Path(sys.executable).resolve()
    (prefix / "bin").mkdir(parents=True)
    shutil.copy2(program, prefix / "bin" / name)
    (prefix / "bin" / "python3").symlink_to(name)
    base = Path(sys.base_prefix, "lib")
    (prefix / "lib" / name).mkdir(parents=True)
    for entry in (base / name).iterdir():
        if entry.name != "site-packages":
            (prefix / "lib" / name / entry.name).symlink_to(entry)
    packages = [p for p in sys.path if Path(p).name == "site-packages"]
    ours = Path(sys.modules["ipyfleet"].__file__ or "").parent.parent  # may be an editable install
    # Debian looks for packages in a directory of another name.
    for directory in (
        prefix / "lib" / name / "site-packages",
        prefix / "lib/python3/dist-packages",
    ):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "packages.pth").write_text("\n".join([str(ours), *packages]) + "\n")
    if any(base.glob(f"lib{name}.so*")):
        (prefix / "lib" / f"lib{name}.so.1.0").symlink_to(base / f"lib{name}.so.1.0")
    return prefix


@interactive
def surroundings() -> dict[str, Any]:
    """What user code sees of the Python it runs in."""
    import multiprocessing
    import os
    import subprocess
    import sys

    code = "import sys; print(sys.prefix)"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        [answer] = pool.map(abs, [-3])
    return {
        "prefix": sys.prefix,
        "executable": sys.executable,
        "child": subprocess.check_output([sys.executable, "-c", code], text=True).strip(),
        "pool": answer,
        "own": "_engine" in open("/proc/self/maps").read(),
        "argv": sys.argv,
        "environment": os.environ.get("VIRTUAL_ENV"),
    }


def start(stack: Stack, *args: str, **env: str | None) -> ipp.Client:
    """A controller and one engine."""
    stack.start_controller()
    rc = stack.client()
    stack.start_engine(*args, **env)
    wait_until(lambda: rc.ids == [0], "the engine", T)
    return rc


def test_the_active_conda_environment_is_used(make_stack: StackFactory) -> None:
    stack = make_stack()
    conda = make_conda(stack.root)
    rc = start(stack, CONDA_PREFIX=str(conda), VIRTUAL_ENV=None)
    seen = rc[0].apply_async(surroundings).get(timeout=T)
    assert seen["prefix"] == seen["child"] == str(conda)
    assert seen["executable"] == str(conda / "bin/python3")
    assert seen["pool"] == 3
    assert seen["own"], "not this installation: the engine must be a module of that Python"
    assert seen["argv"] == [""]


def test_condas_base_yields_to_the_environment_of_the_program(make_stack: StackFactory) -> None:
    stack = make_stack()
    conda = make_conda(stack.root)
    rc = start(stack, CONDA_PREFIX=str(conda), CONDA_DEFAULT_ENV="base", VIRTUAL_ENV=None)
    seen = rc[0].apply_async(surroundings).get(timeout=T)
    assert seen["prefix"] == sys.prefix


def test_an_engine_as_a_module_lives_like_any_other(
    make_stack: StackFactory, tmp_path: Path
) -> None:
    stack = make_stack()
    conda = make_conda(stack.root)
    stack.start_controller()
    rc = stack.client()
    key = stack.connection("engine")["key"]
    ended = tmp_path / "ended"
    stack.start_engine(
        f"--python={conda}", "--restart=on-failure", f"--Session.key={key}", "-c", "x = 'set'",
        IPP_SESSION_KEY=key, VIRTUAL_ENV=sys.prefix,
    )  # fmt: skip
    wait_until(lambda: rc.ids == [0], "the engine", T)
    old = rc[0].apply_async(os.getpid).get(timeout=T)
    with pytest.raises(RemoteError, match="EngineError"):
        rc[0].apply_async(crash).get(timeout=T)
    wait_for_other(rc, old)
    seen = rc[0].apply_async(surroundings).get(timeout=T)
    assert seen["own"]
    assert seen["environment"] is None
    visible = rc[0].apply_async(everything_visible).get(timeout=T)
    assert "IPYTHONDIR" in visible
    assert key not in visible
    assert rc[0].pull("x").get(timeout=T) == "set"
    output = rc[0].execute("import os; print('py'); os.system('echo c')", silent=False)
    output.get(timeout=T)
    wait_until(lambda: output.stdout == "py\nc\n", "the output of both", T)
    rc[0].execute(
        f"import atexit, pathlib; atexit.register(pathlib.Path({str(ended)!r}).touch)"
    ).get(timeout=T)
    rc.shutdown(block=False)
    assert stack.engines[0].wait(T) == 0
    assert ended.exists()


def fails(stack: Stack, *args: str, **env: str | None) -> str:
    """The line with which an engine that does not start tells what to do."""
    proc = stack.start_engine(*args, **env)
    assert proc.wait(T) != 0
    assert "Traceback" not in proc.text()
    [line] = [x for x in proc.text().splitlines() if "pip install ipyfleet" in x]
    return line


def test_a_python_of_another_version_is_one_sentence(
    make_stack: StackFactory, tmp_path: Path
) -> None:
    stack = make_stack()
    other = tmp_path / "bin" / "python3"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho /somewhere/python3\necho 3.99\n")
    other.chmod(0o755)
    line = fails(stack, f"--python={tmp_path}")
    assert f"--python={tmp_path} is Python 3.99" in line
    assert "was built for Python 3." in line
    assert "-m pip install ipyfleet" in line


def test_an_environment_without_the_package_is_one_sentence(
    make_stack: StackFactory, tmp_path: Path
) -> None:
    stack = make_stack()
    stack.start_controller()
    subprocess.run(
        [Path(sys.executable).resolve(), "-m", "venv", "--without-pip", tmp_path / "bare"],
        check=True,
    )
    line = fails(stack, VIRTUAL_ENV=str(tmp_path / "bare"))
    assert f"{tmp_path}/bare/bin/python3" in line
    assert "-m pip install ipyfleet" in line
