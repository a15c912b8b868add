"""The libraries of the pure layers use no symbol of ZeroMQ, Python or the logger."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import build_directory, libraries_by_file

PURE_LAYER_MAX = 3
PURE = sorted({name for name, layer in libraries_by_file().values() if layer <= PURE_LAYER_MAX})
FORBIDDEN = re.compile(r"\bzmq_|\bzmq::|\b_?Py[A-Z_]|\bpybind11::|\bspdlog::")


def undefined_symbols(archive: Path) -> list[str]:
    done = subprocess.run(["nm", "-C", "-u", archive], capture_output=True, text=True, check=True)
    return [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("U ")]


def archive_of(library: str) -> Path:
    if not (build_directory() / "build.ninja").exists():
        pytest.skip(f"{build_directory()} was not built: cmake --preset dev")
    found = list(build_directory().glob(f"src/**/lib{library}.a"))
    assert len(found) == 1, f"{library} in {build_directory()}: {found}"
    return found[0]


def test_the_pure_libraries_are_known() -> None:
    assert {"ipf_core", "ipf_protocol", "ipf_hub", "ipf_scheduler", "ipf_client_core"} <= set(PURE)


@pytest.mark.parametrize("library", PURE)
def test_library_is_pure(library: str) -> None:
    symbols = undefined_symbols(archive_of(library))
    assert symbols, "nm shows no symbol at all"
    assert [symbol for symbol in symbols if FORBIDDEN.search(symbol)] == []


@pytest.mark.parametrize("library", PURE)
def test_library_has_a_link_test(library: str) -> None:
    program = archive_of(library).with_name(f"{library}_link_test")
    assert program.exists(), f"{program} is not built; a full build makes it: ninja -C build/dev"
    assert subprocess.run([program], timeout=20).returncode == 0


@pytest.mark.skipif(shutil.which("c++") is None, reason="no compiler")
@pytest.mark.parametrize("name", ["zmq_send", "PyGILState_Ensure", "_PyObject_New"])
def test_the_purity_rule_fires(name: str, tmp_path: Path) -> None:
    source = tmp_path / "impure.cpp"
    source.write_text(f'extern "C" void {name}();\nvoid ipf_use() {{ {name}(); }}\n')
    subprocess.run(["c++", "-c", source, "-o", tmp_path / "impure.o"], check=True)
    subprocess.run(["ar", "rc", tmp_path / "libimpure.a", tmp_path / "impure.o"], check=True)
    assert any(FORBIDDEN.search(symbol) for symbol in undefined_symbols(tmp_path / "libimpure.a"))
