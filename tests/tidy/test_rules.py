"""Rules of the style guide that neither a formatter nor a linter checks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT, libraries_by_file, tree_files

CPP = ("*.cpp", "*.hpp")
PRODUCT = ("src", "include", "apps", "python")
FILE_LINES_MAX = 800
APP_LINES_MAX = 150
FUNCTION_LINES_MAX = 70


def relative(path: Path) -> str:
    """Return the path as seen from the root of the tree."""
    return path.relative_to(ROOT).as_posix()


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def long_python_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{relative(path)}:{node.lineno} {node.name} ({lines} lines)"


def test_no_source_file_is_too_long() -> None:
    files = tree_files(*CPP, "*.py")
    assert [relative(path) for path in files if line_count(path) > FILE_LINES_MAX] == []


def test_apps_only_compose() -> None:
    files = tree_files("apps/*.cpp")
    assert [relative(path) for path in files if line_count(path) > APP_LINES_MAX] == []


def test_no_python_function_is_too_long() -> None:
    found = [long for path in tree_files("*.py") for long in long_python_functions(path)]
    assert found == []


def test_the_function_length_rule_fires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    sample = tmp_path / "sample.py"
    sample.write_text("def long():\n" + "    pass\n" * FUNCTION_LINES_MAX)
    assert list(long_python_functions(sample)) == ["sample.py:1 long (71 lines)"]


def test_the_product_has_no_unfinished_marks() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX)\b")
    found = [
        f"{relative(path)}:{number}"
        for path in tree_files(*PRODUCT)
        if path.suffix in {".cpp", ".hpp", ".py", ".pyi", ".in"}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if mark.search(line)
    ]
    assert found == []


def test_only_net_includes_zeromq() -> None:
    include = re.compile(r'^\s*#\s*include\s*[<"]zmq(_addon)?\.h(pp)?[>"]', re.MULTILINE)
    found = [
        relative(path)
        for path in tree_files(*CPP)
        if relative(path).startswith(("src/", "include/", "apps/", "python/"))
        and not relative(path).startswith("src/net/")
        and include.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_header_has_pragma_once() -> None:
    headers = tree_files("*.hpp")
    assert [relative(path) for path in headers if "#pragma once\n" not in path.read_text()] == []


def test_includes_go_only_downwards() -> None:
    include = re.compile(r'^\s*#\s*include\s*"([\w/]+)\.hpp"', re.MULTILINE)
    library_of = libraries_by_file()
    assert len(set(library_of.values())) >= 2, "no ipf_library() was recognised"
    found = []
    for path in tree_files("src/*.cpp", "src/*.hpp"):
        own = library_of.get(path.relative_to(ROOT / "src").with_suffix("").as_posix())
        for included in include.findall(path.read_text(encoding="utf-8")):
            other = library_of.get(included)
            if own and other and own != other and other[1] >= own[1]:
                found.append(f"{relative(path)} ({own[0]}) includes {included}.hpp ({other[0]})")
    assert found == []


def test_every_cpp_test_is_registered() -> None:
    lists = {
        path.parent: path.read_text(encoding="utf-8")
        for path in tree_files("tests/*CMakeLists.txt")
    }

    def registered(test: Path) -> bool:
        return any(
            re.search(rf"(?<![\w/]){re.escape(test.relative_to(folder).as_posix())}(?!\w)", text)
            for folder, text in lists.items()
            if test.is_relative_to(folder)
        )

    tests = tree_files("tests/*_test.cpp", "tests/*_fuzz.cpp")
    assert [relative(path) for path in tests if not registered(path)] == []


def test_the_commands_of_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"(?<![\w./-])(scripts/[\w-]+|examples/[\w/-]+\.py)", readme))
    assert {"scripts/quickstart", "scripts/test"} <= commands
    assert [command for command in sorted(commands) if not (ROOT / command).is_file()] == []
    scripts = [ROOT / command for command in commands if command.startswith("scripts/")]
    assert [path.name for path in scripts if not path.stat().st_mode & 0o100] == []
