"""What the tidy tests share: the tree's files, and a CMake project of a few lines."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LIBRARY = re.compile(
    r"ipf_library\(\s*(\w+)\s+LAYER\s+(\d)\s+SOURCES\s+([^)]*?)(?:PUBLIC|PRIVATE|\))"
)

PROJECT = """\
cmake_minimum_required(VERSION 3.25)
project(fake LANGUAGES CXX)
option(IPF_BUILD_TESTS "" OFF)
list(APPEND CMAKE_MODULE_PATH "{root}/cmake")
include(IpfOptions)
include(IpfLibrary)
"""

Configure = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Return a function that configures a fake project that uses the rules of cmake/."""

    def run(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "empty.cpp").write_text("int ipf_empty() { return 0; }\n")
        (tmp_path / "CMakeLists.txt").write_text(PROJECT.format(root=ROOT) + text)
        return subprocess.run(
            ["cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "build"],
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run


def tree_files(*patterns: str) -> list[Path]:
    """Return the files of the tree: tracked ones, and new ones that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted({name for name in listed.stdout.split("\0") if name})
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def build_directory() -> Path:
    """Return where the preset `dev` was built; tests that need it skip if it is missing."""
    return Path(os.environ.get("IPF_BUILD_DIR", ROOT / "build" / "dev"))


def libraries_by_file() -> dict[str, tuple[str, int]]:
    """Return library and layer for each `dir/stem` that an ipf_library() in src/ lists."""
    found = {}
    for path in tree_files("src/*CMakeLists.txt"):
        for name, layer, sources in LIBRARY.findall(path.read_text(encoding="utf-8")):
            for source in sources.split():
                stem = (path.parent / source).with_suffix("").relative_to(ROOT / "src")
                found[stem.as_posix()] = (name, int(layer))
    return found
