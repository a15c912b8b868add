"""The extension module and its stub say the same."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import ipyfleet
import pytest
from ipyfleet import _native

STUB = ast.parse((Path(ipyfleet.__file__).parent / "_native.pyi").read_text(encoding="utf-8"))


# Shapes of dicts are for type checkers only.
STUB.body = [
    node
    for node in STUB.body
    if not isinstance(node, ast.ClassDef) or "TypedDict" not in map(ast.unparse, node.bases)
]


def public_names(namespace: object) -> set[str]:
    return {name for name in vars(namespace) if not name.startswith("_")}


def stub_classes() -> dict[str, ast.ClassDef]:
    return {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def test_the_stub_has_the_names_of_the_module() -> None:
    in_stub = {node.name for node in STUB.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert in_stub == public_names(_native)


@pytest.mark.parametrize("name", sorted(stub_classes()))
def test_the_stub_has_the_members_of_each_class(name: str) -> None:
    members = {node.name for node in stub_classes()[name].body if isinstance(node, ast.FunctionDef)}
    assert members - {"__init__"} == public_names(getattr(_native, name))
    for node in stub_classes()[name].body:
        if isinstance(node, ast.FunctionDef) and node.name != "__init__":
            is_property = any(
                isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list
            )
            value = inspect.getattr_static(getattr(_native, name), node.name)
            assert isinstance(value, property) == is_property, node.name


def parameters_in_doc(function: object) -> list[str]:
    """Return the parameter names in the signature that pybind11 puts into a docstring."""
    doc = inspect.getdoc(function) or ""
    signature = doc.split("\n", 1)[0]
    names = re.findall(r"[(,]\s*(\w+):", signature)
    return [name for name in names if name != "self"]


def parameters_in_stub(node: ast.FunctionDef) -> list[str]:
    arguments = [*node.args.args, *node.args.kwonlyargs]
    return [argument.arg for argument in arguments if argument.arg != "self"]


def functions() -> list[tuple[str, object, ast.FunctionDef]]:
    found: list[tuple[str, object, ast.FunctionDef]] = []
    for node in STUB.body:
        if isinstance(node, ast.FunctionDef):
            found.append((node.name, getattr(_native, node.name), node))
    for name, class_node in stub_classes().items():
        for node in class_node.body:
            if isinstance(node, ast.FunctionDef) and not node.decorator_list:
                function = inspect.getattr_static(getattr(_native, name), node.name)
                found.append((f"{name}.{node.name}", function, node))
    return found


@pytest.mark.parametrize(
    ("function", "node"),
    [pytest.param(function, node, id=name) for name, function, node in functions()],
)
def test_the_stub_has_the_parameters_of_each_function(
    function: object, node: ast.FunctionDef
) -> None:
    assert parameters_in_doc(function) == parameters_in_stub(node)


def test_dates_are_read_as_microseconds() -> None:
    assert _native.parse_date("1970-01-01T00:00:01.500000Z") == 1_500_000
    assert _native.parse_date("yesterday") is None


def test_objects_without_memory_are_refused() -> None:
    with pytest.raises(TypeError):
        _native.Completions([object()])
    assert _native.wait_all([], 0.0)
    assert _native.count_done([]) == 0
    assert _native.Completions([]).next() == []
