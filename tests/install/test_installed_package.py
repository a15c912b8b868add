"""The package as pip installed it: programs, versions, files, and a second environment."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("ipcontroller", "ipengine", "ipcluster")


def run(*command: str | Path, timeout: float = 60) -> str:
    """Return the standard output of a program that must succeed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def programs_of(python: Path) -> list[Path]:
    return [python.parent / name for name in PROGRAMS]


def project_version() -> str:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(r"project\(ipyfleet VERSION ([0-9.]+)", text)
    assert found
    return found[1]


@pytest.mark.parametrize("program", programs_of(Path(sys.executable)), ids=PROGRAMS)
def test_program_is_ours(program: Path) -> None:
    # The peer ipyparallel brings scripts of the same names; ours are native programs.
    assert program.read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize("program", programs_of(Path(sys.executable)), ids=PROGRAMS)
def test_program_tells_the_version_of_the_project(program: Path) -> None:
    assert project_version() in run(program, "--version")


@pytest.mark.parametrize("program", programs_of(Path(sys.executable)), ids=PROGRAMS)
def test_program_explains_itself(program: Path) -> None:
    assert program.name in run(program, "--help")


@pytest.mark.parametrize("program", programs_of(Path(sys.executable)), ids=PROGRAMS)
def test_an_unknown_option_is_an_error(program: Path) -> None:
    done = subprocess.run([program, "--no-such-option"], capture_output=True, text=True, timeout=60)
    assert done.returncode not in {0, None}
    assert "no-such-option" in done.stderr + done.stdout


def test_package_has_the_version_of_the_project() -> None:
    import ipyfleet

    assert importlib.metadata.version("ipyfleet") == project_version()
    assert ipyfleet.__version__ == project_version()


def test_the_extension_of_jupyterlab_has_the_version_of_the_project() -> None:
    package = ROOT / "python" / "share" / "jupyter" / "labextensions" / "ipyfleet" / "package.json"
    assert json.loads(package.read_text())["version"] == project_version()


def test_pip_lists_the_programs_and_the_module() -> None:
    listed = run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "show", "-f", "ipyfleet"
    )
    files = {line.strip() for line in listed.splitlines()}
    assert {f"../../../bin/{name}" for name in PROGRAMS} <= files
    for module in ("_native", "_engine"):
        assert any(re.fullmatch(rf"ipyfleet/{module}\..*so", name) for name in files)
    assert {"ipyfleet/py.typed", "ipyfleet/_native.pyi"} <= files
    assert {
        "ipyfleet/serverextension/clusters.html",
        "../../../etc/jupyter/jupyter_server_config.d/ipyfleet.json",
        "../../../share/jupyter/labextensions/ipyfleet/package.json",
        "../../../share/jupyter/labextensions/ipyfleet/static/remoteEntry.js",
    } <= files
    assert not [name for name in files if name.endswith((".hpp", ".cpp", ".a"))]


@pytest.mark.skipif("IPF_FULL" not in os.environ, reason="only with scripts/test --full: minutes")
@pytest.mark.timeout(900)
def test_a_fresh_environment_with_nothing_but_the_package(tmp_path: Path) -> None:
    # With build isolation, as a user types it, and without the peer and the test requirements.
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--config-settings", f"build-dir={tmp_path / 'build'}", ROOT, timeout=800)
    version = run(python, "-c", "import ipyfleet; print(ipyfleet.__version__)")
    assert version.strip() == project_version()
    for program in programs_of(python):
        assert project_version() in run(program, "--version")


def test_jupyter_finds_the_kernel() -> None:
    spec = Path(sys.prefix) / "share" / "jupyter" / "kernels" / "ipyfleet" / "kernel.json"
    argv = json.loads(spec.read_text(encoding="utf-8"))["argv"]
    assert argv == ["python", "-m", "ipyfleet.kernel", "-f", "{connection_file}"]
