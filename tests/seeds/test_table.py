"""The table of rows and the marks of the tests say the same."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from .rows import ROWS

TESTS = Path(__file__).resolve().parents[1]
LAST = 97


def marked_numbers(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[int]:
    """Return the rows that a function is marked with."""
    return [
        ast.literal_eval(argument)
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.seeds"
        for argument in decorator.args
    ]


def rows_with_tests(root: Path) -> dict[int, list[str]]:
    """Return the tests of each row, as pytest names them."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "pytest.mark.seeds" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for number in marked_numbers(node):
                    found[number].append(f"{path.relative_to(root)}::{node.name}")
    return found


def test_the_table_has_every_row() -> None:
    assert list(ROWS) == list(range(1, LAST + 1))


def test_marks_and_table_agree() -> None:
    found = rows_with_tests(TESTS)
    assert set(found) <= set(ROWS), "marks of rows that do not exist"
    ours = {number: row for number, row in ROWS.items() if row.area != "nothing"}
    assert [n for n, row in ours.items() if row.tested and n not in found] == [], "no test"
    assert [n for n, row in ours.items() if not row.tested and n in found] == [], (
        "rows that have a test now: take away their False"
    )


def test_marks_are_found(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(
        "import pytest\n\n\n@pytest.mark.seeds(3, 5)\ndef test_it():\n    pass\n"
    )
    assert rows_with_tests(tmp_path) == {
        3: ["test_sample.py::test_it"],
        5: ["test_sample.py::test_it"],
    }
