"""Unmodified client: calls, data movement, canning and errors on direct views."""

from __future__ import annotations

import functools
import os

import ipyparallel as ipp
import numpy as np
import pytest
from ipyparallel import interactive
from ipyparallel.error import CompositeError, RemoteError

from .conftest import SHARED_ENGINES
from .pairings import B, C
from .polling import plain

T = 20.0  # seconds: bound of every get()
EVERY_ID = list(range(SHARED_ENGINES))


@interactive
def divide(a: float, b: float) -> float:
    """A function with a recognisable line for tracebacks."""
    return a / b


def test_ids_are_ints_from_zero_and_wait_for_engines_returns(rc: ipp.Client) -> None:
    assert rc.ids == EVERY_ID
    rc.wait_for_engines(SHARED_ENGINES, timeout=5)
    with pytest.raises(TimeoutError):
        rc.wait_for_engines(SHARED_ENGINES + 1, timeout=0.3)


def test_apply_sync_returns_the_value_of_that_engine(rc: ipp.Client) -> None:
    assert rc[0].apply_sync(interactive(lambda a, b=1: a * b), 6, b=7) == 42
    pids = [rc[i].apply_sync(os.getpid) for i in rc.ids]
    assert len(set(pids)) == SHARED_ENGINES


def test_apply_async_on_all_answers_in_target_order(rc: ipp.Client) -> None:
    pids = [rc[i].apply_sync(os.getpid) for i in rc.ids]
    ar = rc[:].apply_async(os.getpid)
    assert ar.get(timeout=T) == pids
    assert rc[[2, 0]].apply_sync(os.getpid) == [pids[2], pids[0]]
    assert ar.successful()
    assert ar.engine_id == EVERY_ID


def test_metadata_has_ordered_times_and_the_engine(rc: ipp.Client) -> None:
    ar = rc[1].apply_async(os.getpid)
    ar.get(timeout=T)
    md = ar.metadata
    assert md["submitted"] <= md["started"] <= md["completed"] <= md["received"]
    assert (md["engine_id"], md["status"]) == (1, "ok")
    assert md["engine_uuid"] == rc._engines[1]
    assert ar.serial_time >= 0
    assert ar.wall_time >= 0


def test_push_and_pull_plain_values(rc: ipp.Client) -> None:
    view = rc[:]
    view.push({"a": 5, "text": "grüße \u2603", "nested": {"k": [1, (2, 3)]}}, block=True)
    assert view.pull("a", block=True) == [5] * SHARED_ENGINES
    assert rc[0].pull(("text", "nested"), block=True) == ["grüße \u2603", {"k": [1, (2, 3)]}]
    rc[2]["own"] = "two"
    assert rc[2]["own"] == "two"
    with pytest.raises(RemoteError, match="NameError"):
        rc[0].pull("own", block=True)


@pytest.mark.parametrize("shape", [(0,), (3, 4), (1 << 18,)], ids=["empty", "small", "2MiB"])
@pytest.mark.parametrize("dtype", ["float64", "int16", "complex128"])
def test_numpy_arrays_survive_both_ways(rc: ipp.Client, shape: tuple[int, ...], dtype: str) -> None:
    array = np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
    rc[0].push({"array": array}, block=True)
    back = rc[0].pull("array", block=True)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_structured_array_and_read_only_result(rc: ipp.Client) -> None:
    array = np.zeros(2000, dtype=[("x", "f8"), ("n", "i4")])
    array["n"] = np.arange(2000)
    back = rc[0].apply_sync(interactive(lambda a: a), array)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back["n"], array["n"])


@pytest.mark.parametrize("size", [1024, 1025, 3 << 20, 32 << 20])
def test_buffers_of_every_size_class_are_exact(rc: ipp.Client, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert rc[1].apply_sync(interactive(lambda d: d), data) == data


def test_many_buffers_in_one_call(rc: ipp.Client) -> None:
    chunks = [bytes([i]) * 2000 for i in range(60)]
    assert rc[0].apply_sync(interactive(lambda c: [len(x) for x in c]), chunks) == [2000] * 60
    many = rc[0].apply_sync(interactive(lambda *a: sum(map(len, a))), *(b"x" * 1500,) * 500)
    assert many == 500 * 1500


@pytest.mark.parametrize("sequence", [list(range(10)), np.arange(300_000.0)], ids=["list", "numpy"])
def test_scatter_and_gather_are_inverse(rc: ipp.Client, sequence: list | np.ndarray) -> None:
    view = rc[:]
    view.scatter("part", sequence, block=True)
    lengths = view.apply_sync(interactive(lambda: len(part)))  # noqa: F821
    assert sum(lengths) == len(sequence)
    assert max(lengths) - min(lengths) <= len(sequence) // SHARED_ENGINES
    back = view.gather("part", block=True)
    np.testing.assert_array_equal(np.asarray(back), np.asarray(sequence))


def test_closures_lambdas_partials_and_defaults(rc: ipp.Client) -> None:
    factor = 3

    def scaled(x: int) -> int:
        return x * factor

    scaled.__module__ = "__main__"  # ipp.interactive loses the closure

    @interactive
    def add(a: int, b: int = 10) -> int:
        return a + b

    view = rc[0]
    assert view.apply_sync(scaled, 5) == 15
    assert view.apply_sync(add, 1) == 11
    assert view.apply_sync(functools.partial(add, b=5), 1) == 6
    assert view.apply_sync(functools.partial(np.sum, axis=0), np.ones((2, 2))).tolist() == [2, 2]


def test_functions_run_in_the_engines_namespace(rc: ipp.Client) -> None:
    rc[:].push({"offset": 100}, block=True)
    assert rc[0].apply_sync(interactive(lambda x: x + offset), 1) == 101  # noqa: F821
    rc[0].execute("left = [k for k in globals() if k.endswith(('_result', '_kwargs'))]", block=True)
    assert rc[0]["left"] == [], "temporary names of the call stay in the namespace"


def test_reference_is_resolved_on_the_engine(rc: ipp.Client) -> None:
    rc[:].scatter("rank", rc.ids, flatten=True, block=True)
    squares = rc[:].apply_sync(interactive(lambda r: r * r), ipp.Reference("rank"))
    assert squares == [i * i for i in rc.ids]


def test_require_imports_modules_and_pushes_functions(rc: ipp.Client) -> None:
    @ipp.require("struct", helper=divide)
    @interactive
    def use() -> tuple[int, float]:
        return struct.calcsize("i"), helper(9, 3)  # noqa: F821

    assert rc[0].apply_sync(use) == (4, 3.0)


def test_depend_that_is_unmet_is_an_error_on_a_direct_view(rc: ipp.Client) -> None:
    @ipp.depend(interactive(lambda flag: flag), False)
    @interactive
    def never() -> str:
        return "ran"

    @ipp.depend(interactive(lambda flag: flag), True)
    @interactive
    def always() -> str:
        return "ran"

    with pytest.raises(RemoteError, match="UnmetDependency"):
        rc[0].apply_sync(never)
    assert rc[0].apply_sync(always) == "ran"


def test_remote_error_has_traceback_and_engine_info(rc: ipp.Client) -> None:
    ar = rc[1].apply_async(divide, 1, 0)
    with pytest.raises(RemoteError) as caught:
        ar.get(timeout=T)
    error = caught.value
    assert (error.ename, error.evalue) == ("ZeroDivisionError", "division by zero")
    assert error.engine_info["engine_id"] == 1
    assert error.engine_info["engine_uuid"] == rc._engines[1]
    assert error.engine_info["method"] == "apply"
    assert "a / b" in plain("\n".join(error.render_traceback()))
    assert ar.metadata["status"] == "error"
    assert not ar.successful()


def test_errors_of_several_engines_are_composite(rc: ipp.Client) -> None:
    with pytest.raises(CompositeError) as caught:
        rc[:].apply_sync(divide, 1, 0)
    assert len(caught.value.elist) == SHARED_ENGINES
    assert {e[3]["engine_id"] for e in caught.value.elist} == set(rc.ids)


@interactive
def leave(status: int) -> None:
    """Raise SystemExit."""
    raise SystemExit(status)


@interactive
def unpicklable() -> object:
    """Return something that no pickle can hold."""
    import threading

    return threading.Lock()


@interactive
def nothing_readable() -> None:
    """Raise an exception that can not be turned into text."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raise MuteError


@pytest.mark.parametrize(
    ("task", "args", "ename"),
    [(leave, (3,), "SystemExit"), (unpicklable, (), "TypeError")],
    ids=["SystemExit", "unpicklable result"],
)
def test_odd_failures_become_errors_and_the_engine_goes_on(
    rc: ipp.Client, task: object, args: tuple, ename: str
) -> None:
    pid = rc[0].apply_sync(os.getpid)
    with pytest.raises(RemoteError) as caught:
        rc[0].apply_async(task, *args).get(timeout=T)
    assert caught.value.ename == ename
    assert rc[0].apply_async(os.getpid).get(timeout=T) == pid


@pytest.mark.pairings(B, C, why="the reference's engine never answers here (protocol.md 8.2)")
def test_an_exception_without_text_is_still_answered(rc: ipp.Client) -> None:
    with pytest.raises(RemoteError) as caught:
        rc[0].apply_async(nothing_readable).get(timeout=T)
    assert caught.value.ename == "MuteError"


def test_remote_decorators(rc: ipp.Client) -> None:
    @rc[:].remote(block=True)
    @interactive
    def where(x: int) -> tuple[int, int]:
        import os

        return x, os.getpid()

    answers = where(4)
    assert [a[0] for a in answers] == [4] * SHARED_ENGINES
    assert len({a[1] for a in answers}) == SHARED_ENGINES
    assert rc[:].map_sync(interactive(lambda x: x * x), range(20)) == [x * x for x in range(20)]


def test_order_on_one_direct_path_is_kept(rc: ipp.Client) -> None:
    rc[0].push({"seen": []}, block=True)
    results = [
        rc[0].apply_async(interactive(lambda i: seen.append(i)), i)  # noqa: F821
        for i in range(100)
    ]
    for ar in results:
        ar.get(timeout=T)
    assert rc[0]["seen"] == list(range(100))
