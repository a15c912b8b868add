"""The C++ client as its users get it: installed, found by CMake, and used by the example."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("IPF_BUILD_DIR", ROOT / "build" / "dev"))
PROGRAMS = Path(sys.executable).parent

pytestmark = pytest.mark.skipif(
    not (BUILD / "CMakeCache.txt").exists(), reason=f"{BUILD} is not built: scripts/test unit"
)


def run(*command: str | Path, timeout: float = 300) -> str:
    """Return the standard output of a program that must succeed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the client is installed."""
    where = tmp_path_factory.mktemp("prefix")
    run("cmake", "--build", BUILD, "--target", "ipyfleet", "--parallel", "2")
    run("cmake", "--install", BUILD, "--component", "cpp", "--prefix", where)
    return where


@pytest.fixture(scope="module")
def example(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built against what was installed and nothing else."""
    build = tmp_path_factory.mktemp("examples")
    run(
        *("cmake", "-G", "Ninja", "-S", ROOT / "examples", "-B", build),
        f"-DCMAKE_PREFIX_PATH={prefix}",
    )
    run("cmake", "--build", build)
    return build / "cpp_client"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    """A controller and two engines; yields the profile directory."""
    profile = tmp_path / "profile_default"
    environment = os.environ | {"IPYTHONDIR": str(tmp_path), "IPP_PROFILE_DIR": str(profile)}
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> None:
        with (tmp_path / f"{name}-{len(started)}.log").open("wb") as log:
            command = [PROGRAMS / name, *arguments]
            started.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
            )

    try:
        start("ipcontroller", "--ping=300")
        file = profile / "security" / "ipcontroller-client.json"
        deadline = time.monotonic() + 20
        while not file.exists():
            assert started[0].poll() is None, (tmp_path / "ipcontroller-0.log").read_text()
            assert time.monotonic() < deadline, "no connection file within 20 s"
            time.sleep(0.05)
        for _ in range(2):
            start("ipengine")
        yield profile
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(10)


def test_headers_include_nothing_of_others(prefix: Path) -> None:
    headers = sorted((prefix / "include" / "ipyfleet").glob("*.hpp"))
    assert len(headers) >= 9
    for header in headers:
        for line in header.read_text(encoding="utf-8").splitlines():
            if line.startswith("#include"):
                name = line.split()[1]
                own = name.startswith('"ipyfleet/')
                standard = name.startswith("<") and "." not in name and "/" not in name
                assert own or standard, f"{header.name}: {line}"


def test_the_library_shows_only_its_own_names(prefix: Path) -> None:
    (library,) = prefix.glob("lib*/**/libipyfleet.so")
    listed = run("nm", "-DC", "--defined-only", library).splitlines()
    names = [line.split(maxsplit=2)[2] for line in listed]
    assert any(name.startswith("ipf::Client::") for name in names)
    assert not [name for name in names if "ipf::" not in name]


def test_the_example_runs(example: Path, cluster: Path) -> None:
    lines = run(example, cluster, timeout=90).splitlines()
    assert lines[0] == "sqrt(2) = 1.41421"
    assert lines[1] == "2 words"
    assert lines[3:] == [
        "sum of squares = 328350",
        "doubled: 100000 numbers, the last is 199998",
        "graph: 3",
        "as expected: ZeroDivisionError: division by zero",
        "an hour's sleep was cut short",
    ]


def test_the_example_says_what_is_missing(example: Path, tmp_path: Path) -> None:
    done = subprocess.run([example, tmp_path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no cluster is running")
