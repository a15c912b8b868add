"""Exceptions: their form on the wire, their text, and hostile user exceptions."""

from __future__ import annotations

import builtins
import pickle
from typing import Any

import pytest
from ipyfleet import error

INFO = {"engine_uuid": "u1", "engine_id": 1, "method": "apply"}


class Hostile(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    __repr__ = __str__


def _wrapped(exc: BaseException, info: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        raise exc
    except BaseException:
        return error.wrap_exception(info)


def test_wrapped_exception_has_the_content_that_clients_need() -> None:
    content = _wrapped(KeyError("x"), INFO)
    assert content.pop("traceback")[-1] == "KeyError: 'x'\n"
    assert content == {
        "status": "error",
        "ename": "KeyError",
        "evalue": "'x'",
        "engine_info": INFO,
    }


def test_engine_info_is_an_empty_dict_when_nothing_is_known() -> None:
    assert _wrapped(ValueError("v"))["engine_info"] == {}


def test_wrapping_survives_an_exception_without_text() -> None:
    content = _wrapped(Hostile(), INFO)
    assert content["ename"] == "Hostile"
    assert "RuntimeError" in content["evalue"]
    assert all(isinstance(line, str) for line in content["traceback"])


def test_wrapping_an_exception_given_by_value() -> None:
    assert error.wrap_exception(exc=OSError("disk"))["evalue"] == "disk"


def test_wrapping_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="none is being handled"):
        error.wrap_exception()


def test_unwrapping_gives_a_remote_error_with_the_text_of_the_original() -> None:
    found = error.unwrap_exception(_wrapped(KeyError("x"), INFO))
    assert isinstance(found, error.RemoteError)
    assert (found.ename, found.evalue, found.engine_info) == ("KeyError", "'x'", INFO)
    assert str(found) == "[1:apply] KeyError: 'x'"
    assert repr(found) == "<RemoteError[1]:KeyError('x')>"
    assert found.render_traceback()[0] == "[1:apply]"
    assert found.render_traceback()[-1] == "KeyError: 'x'"


@pytest.mark.parametrize("info", [{}, None])
def test_an_error_of_unknown_origin_says_so(info: dict[str, Any] | None) -> None:
    found = error.RemoteError("E", "v", None, info)
    assert str(found) == "[Engine Exception] E: v"
    assert found.render_traceback() == ["[Engine Exception]", "No traceback available"]


def test_half_an_engine_info_does_not_break_the_text() -> None:
    assert str(error.RemoteError("E", "v", "", {"engine_uuid": "u"})) == "[?:?] E: v"


def _composite(n: int) -> error.CompositeError:
    entries = [("E", i, f"trace {i}", {"engine_id": i, "method": "apply"}) for i in range(n)]
    return error.CompositeError("failed", entries)


def test_composite_error_lists_its_errors() -> None:
    assert str(_composite(2)) == "failed\n[0:apply]E: 0\n[1:apply]E: 1"
    assert repr(_composite(2)) == "CompositeError(2)"


def test_composite_error_shows_only_the_first_errors() -> None:
    text = str(_composite(7))
    assert text.count("\n") == 5
    assert text.endswith(".... 3 more exceptions ...")
    assert _composite(7).render_traceback()[-1] == "... 3 more exceptions ..."


def test_composite_error_renders_one_traceback() -> None:
    assert _composite(2).render_traceback(1) == ["[1:apply]:", "trace 1"]


def test_composite_error_raises_one_of_its_errors() -> None:
    with pytest.raises(error.RemoteError, match=r"\[1:apply\] E: 1") as caught:
        _composite(3).raise_exception(1)
    assert caught.value.traceback == "trace 1"


def test_composite_error_has_no_error_beyond_its_last() -> None:
    with pytest.raises(IndexError, match="there is no exception 5: this error holds 2"):
        _composite(2).raise_exception(5)


def test_results_without_errors_pass() -> None:
    results = [1, 2]
    assert error.collect_exceptions(results, "map") is results


@pytest.mark.parametrize("as_dict", [False, True])
def test_errors_among_results_are_collected_and_flattened(as_dict: bool) -> None:
    results: Any = [1, error.RemoteError("A", "a", "t", INFO), _composite(2)]
    if as_dict:
        results = dict(enumerate(results))
    with pytest.raises(error.CompositeError) as caught:
        error.collect_exceptions(results, "map")
    assert [entry[0] for entry in caught.value.elist] == ["A", "E", "E"]
    assert str(caught.value).startswith("one or more exceptions raised in: map")


def test_errors_already_shown_render_as_one_line() -> None:
    shown = error.AlreadyDisplayedError(_composite(3))
    assert shown.render_traceback() == ["3 errors"]
    assert str(shown) == "3 errors"


@pytest.mark.parametrize(
    "exc",
    [
        error.RemoteError("A", "a", "t", INFO),
        _composite(2),
        error.AlreadyDisplayedError(_composite(2)),
        error.UnmetDependency("numpy"),
    ],
)
def test_errors_can_be_pickled(exc: Exception) -> None:
    copy = pickle.loads(pickle.dumps(exc))
    assert type(copy) is type(exc)
    assert str(copy) == str(exc)
    assert vars(copy).keys() == vars(exc).keys()


def test_names_that_schedulers_and_clients_look_for() -> None:
    assert error.TimeoutError is builtins.TimeoutError
    for name in ("ImpossibleDependency", "InvalidDependency", "DependencyTimeout"):
        assert issubclass(getattr(error, name), error.UnmetDependency)
    for name in ("EngineError", "TaskAborted", "TaskTimeout", "RemoteError", "SerializationError"):
        assert issubclass(getattr(error, name), error.KernelError)
