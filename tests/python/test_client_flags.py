"""Flags of load-balanced views and how they go onto the wire."""

from __future__ import annotations

import json
from typing import Any

import ipyfleet as ipp
import pytest
from ipyfleet.dependency import msg_ids_of


class FakeResult:
    """Stands for an `AsyncResult` of two calls."""

    msg_ids = ("a", "b")


class FakeClient:
    """What a view needs before it sends something."""

    block = False
    keep_results = True


def view(**flags: Any) -> ipp.LoadBalancedView:
    """Return a view that is connected to nothing."""
    return ipp.LoadBalancedView(FakeClient(), **flags)  # type: ignore[arg-type]


def sent(made: ipp.LoadBalancedView) -> dict[str, Any]:
    """Return the metadata of a call."""
    return json.loads(made._metadata())


def test_without_flags_the_metadata_is_that_of_ipyparallel() -> None:
    assert sent(view()) == {
        "after": [],
        "follow": [],
        "timeout": 0.0,
        "targets": [],
        "retries": 0,
        "label": None,
    }


def test_own_flags_are_sent_only_when_they_are_set() -> None:
    made = view(priority=3, run_timeout=2, resources={"gpu": 1})
    assert sent(made)["priority"] == 3
    assert sent(made)["run_timeout"] == 2.0
    assert sent(made)["resources"] == {"gpu": 1}
    with made.temp_flags(priority=0, run_timeout=0, resources=None):
        assert not {"priority", "run_timeout", "resources"} & sent(made).keys()


def test_dependencies_take_tasks_ids_and_lists_of_them() -> None:
    made = view()
    for flag in ("after", "follow"):
        with made.temp_flags(**{flag: FakeResult()}):
            assert sent(made)[flag] == ["a", "b"]
        with made.temp_flags(**{flag: ["x", FakeResult()]}):
            assert sent(made)[flag] == ["x", "a", "b"]
        with made.temp_flags(**{flag: ipp.Dependency("x", all=False, failure=True)}):
            assert sent(made)[flag] == {
                "dependencies": ["x"],
                "all": False,
                "success": True,
                "failure": True,
            }
    assert sent(made)["after"] == []


def test_a_list_that_grows_is_not_remembered() -> None:
    waits_for = ["a"]
    made = view(after=waits_for)
    assert sent(made)["after"] == ["a"]
    waits_for.append("b")
    assert sent(made)["after"] == ["a", "b"]


@pytest.mark.parametrize(
    ("flags", "error", "text"),
    [
        ({"priority": 1.5}, TypeError, "priority is a whole number"),
        ({"priority": 1_000_001}, ValueError, "priority is within"),
        ({"run_timeout": "1"}, TypeError, "run_timeout is a number"),
        ({"run_timeout": -1}, ValueError, "run_timeout is not negative"),
        ({"resources": {"gpu": -1}}, ValueError, "resources are numbers from 0"),
        ({"resources": {"gpu": "1"}}, ValueError, "resources are numbers from 0"),
        ({"urgent": True}, KeyError, "there is no flag 'urgent'"),
    ],
)
def test_wrong_flags(flags: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        view(**flags)


def test_a_dependency_counts_something() -> None:
    with pytest.raises(ValueError, match="successes or failures"):
        ipp.Dependency(["a"], success=False)
    with pytest.raises(TypeError, match="neither a task nor a message id"):
        msg_ids_of(3)  # type: ignore[arg-type]
