"""Views: flags, decorators, lazy maps, imports, history; what the client offers for all of them."""

from __future__ import annotations

import functools
import itertools
import os
import pickle
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, nap, need_on_engines, wait_until

T = 20


def square(x: Any) -> Any:
    """Return the square."""
    return x * x


square.__module__ = "__main__"


# ---- flags --------------------------------------------------------------------------------------


def test_flags(rc: ipp.Client) -> None:
    view = rc[:]
    assert view.set_flags(block=True, track=True, label="x") is view
    assert (view.block, view.track, view.label) == (True, True, "x")
    with view.temp_flags(block=False):
        assert isinstance(view.apply(os.getpid), ipp.AsyncResult)
    assert isinstance(view.apply(os.getpid), list)
    with pytest.raises(KeyError, match="colour"):
        view.set_flags(colour=1)
    balanced = rc.load_balanced_view()
    with pytest.raises(ValueError, match="timeout"):
        balanced.set_flags(timeout=-1)
    with pytest.raises(ValueError, match="after"):
        balanced.set_flags(after=5)
    balanced.set_flags(timeout=None, after=[], retries=2)
    assert balanced.apply_sync(pow, 2, 3) == 8


def test_flags_given_to_the_client(rc: ipp.Client) -> None:
    assert rc.direct_view(0, block=True).apply(pow, 2, 2) == 4
    assert rc.direct_view([0, 1], label="a").label == "a"
    assert rc.load_balanced_view("all").targets is None
    assert rc.load_balanced_view([1], retries=1).targets == [1]
    assert len(rc.load_balanced_view([1])) == 1
    assert len(rc.broadcast_view()) == ENGINES


def test_a_blocking_client_makes_blocking_views(cluster: Any) -> None:
    with ipp.Client(cluster.file, timeout=20) as client:
        client.wait_for_engines(ENGINES, timeout=T)
        client.block = True
        assert client[0].apply(pow, 2, 3) == 8
        assert client.load_balanced_view().map(pow, [2], [3]) == [8]


def test_the_documented_example_works_in_both_spellings(rc: ipp.Client) -> None:
    e_all = rc[:]
    ar = e_all.apply_sync(nap, 0.01, "done")
    ar.wait_interactive()
    assert ar.get() == ["done"] * ENGINES
    assert ar == ["done"] * ENGINES
    assert isinstance(ar, list)
    assert type(pickle.loads(pickle.dumps(ar))) is list
    assert e_all.apply_sync(len, ar) == [ENGINES] * ENGINES
    ar = e_all.apply_async(nap, 0.01, "done")
    ar.wait_interactive()
    assert ar.get() == ["done"] * ENGINES


# ---- decorators ---------------------------------------------------------------------------------


def test_remote_functions(rc: ipp.Client) -> None:
    remote = rc[:].remote(block=True)(square)
    assert remote(3) == [9] * ENGINES
    assert remote.__name__ == "square"
    assert "Return the square" in (remote.__doc__ or "")
    view = rc.load_balanced_view()
    assert ipp.remote(view, block=True, retries=1)(square)(4) == 16
    assert view.retries == 0
    assert isinstance(ipp.remote(view)(square)(4), ipp.AsyncResult)


@pytest.mark.parametrize("dist", ["b", "r"])
def test_parallel_functions(rc: ipp.Client, dist: str) -> None:
    def double(part: Any) -> Any:
        return [2 * each for each in part]

    double.__module__ = "__main__"
    parallel = rc[:].parallel(dist=dist, block=True)(double)  # type: ignore[arg-type]
    assert parallel(list(range(7))) == [0, 2, 4, 6, 8, 10, 12]
    mapped = ipp.parallel(rc[:], dist=dist, block=True)(square)  # type: ignore[arg-type]
    assert mapped.map(range(7)) == [0, 1, 4, 9, 16, 25, 36]
    balanced = ipp.ParallelFunction(rc.load_balanced_view(), double, chunksize=3, block=True)
    assert balanced(list(range(7))) == [0, 2, 4, 6, 8, 10, 12]
    with pytest.raises(ValueError, match="same length"):
        parallel([1], [1, 2])
    with pytest.warns(UserWarning, match="chunksize"):
        ipp.ParallelFunction(rc[:], double, chunksize=3)([1])


def test_parallel_functions_of_arrays(rc: ipp.Client) -> None:
    need_on_engines(rc, "numpy")
    import numpy

    parallel = rc[:].parallel(block=True)(square)
    assert (parallel(numpy.arange(9)) == numpy.arange(9) ** 2).all()


def test_dependencies_of_functions(rc: ipp.Client) -> None:
    rc[:].execute("here = False", block=True)
    rc[1].execute("here = True", block=True)

    def is_here() -> bool:
        return globals()["here"]

    is_here.__module__ = "__main__"
    assert isinstance(ipp.depend(is_here)(square), ipp.dependent)

    @ipp.interactive
    def number() -> Any:
        return get_ipython().kernel.engine_id  # type: ignore[name-defined]  # noqa: F821

    view = rc.load_balanced_view()
    results = [view.apply_async(ipp.depend(is_here)(number)) for _ in range(4)]
    assert {result.get(T) or result.engine_id for result in results} == {1}

    @ipp.require("json", math="math")
    @ipp.interactive
    def encode() -> Any:
        return json.dumps([1])  # type: ignore[name-defined]  # noqa: F821

    assert view.apply_sync(encode) == "[1]"


# ---- lazy maps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("endless", [True, False])
def test_imap(rc: ipp.Client, ordered: bool, endless: bool) -> None:
    view = rc.load_balanced_view()
    numbers = itertools.count() if endless else range(30)
    results = view.imap(pow, numbers, itertools.repeat(2) if endless else [2] * 30, ordered=ordered)
    first = list(itertools.islice(results, 20))
    results.cancel()
    rest = list(results)
    assert sorted(first + rest)[:20] == [each**2 for each in range(20)]
    if ordered:
        assert first == [each**2 for each in range(20)]
    assert len(rest) <= ENGINES
    assert rc.wait(timeout=T)


@pytest.mark.parametrize("max_outstanding", [1, 3, 0])
def test_imap_reads_no_further_than_it_may(rc: ipp.Client, max_outstanding: int) -> None:
    taken: list[int] = []

    def numbers() -> Any:
        for each in range(12):
            taken.append(each)
            yield each

    view = rc.load_balanced_view()
    results = view.imap(abs, numbers(), max_outstanding=max_outstanding)
    for count, value in enumerate(results, 1):
        assert value == count - 1
        if max_outstanding:
            assert len(taken) <= count + max_outstanding
    assert taken == list(range(12))


def test_imap_gives_results_while_its_input_waits(rc: ipp.Client) -> None:
    inputs: queue.Queue[int | None] = queue.Queue()
    inputs.put(1)
    results = rc.load_balanced_view().imap(abs, iter(inputs.get, None), max_outstanding=4)
    for number in range(1, 5):
        # The next number depends on the result of the one before.
        assert next(results) == number
        inputs.put(number + 1)
    assert next(results) == 5
    inputs.put(None)
    assert list(results) == []


def test_imap_and_errors(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    results = view.imap(functools.partial(int, base=10), ["1", "x", "3"])
    assert next(results) == 1
    with pytest.raises(ipp.RemoteError, match="invalid literal"):
        next(results)
    assert next(results) == 3
    kept = list(view.imap(functools.partial(int, base=10), ["1", "x"], return_exceptions=True))
    assert kept[0] == 1
    assert kept[1].ename == "ValueError"

    def broken() -> Any:
        yield 1
        raise OSError("no more input")

    results = view.imap(abs, broken())
    assert next(results) == 1
    with pytest.raises(OSError, match="no more input"):
        next(results)
    with pytest.raises(ValueError, match="at least one sequence"):
        view.imap(abs)
    with pytest.raises(ValueError, match="not negative"):
        view.imap(abs, [1], max_outstanding=-1)
    assert list(rc[:].imap(abs, [-1, -2])) == [1, 2]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [7, "auto"])
@pytest.mark.parametrize("endless", [True, False])
def test_imap_in_chunks(rc: ipp.Client, ordered: bool, chunksize: Any, endless: bool) -> None:
    view = rc.load_balanced_view()
    inputs: Any = iter(range(-1000, 0)) if endless else range(-1000, 0)
    results = view.imap(pow, inputs, [2] * 1000, ordered=ordered, chunksize=chunksize)
    found = list(results)
    squares = [n * n for n in range(-1000, 0)]
    assert (found if ordered else sorted(found, reverse=True)) == squares
    assert results.exhausted


def test_imap_holds_no_item_back_for_a_full_chunk(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    inputs: queue.Queue[int] = queue.Queue()
    results = view.imap(abs, iter(inputs.get, None), chunksize=100)
    for n in (1, 2, 3):
        inputs.put(-n)
        assert next(results) == n
    inputs.put(-4)
    inputs.put(-5)
    assert [next(results), next(results)] == [4, 5]
    results.cancel()
    inputs.put(None)  # type: ignore[arg-type]
    assert list(results) == []


@pytest.mark.parametrize("threaded", [True, False])
def test_imap_in_chunks_reads_no_further_ahead_than_it_may(rc: ipp.Client, threaded: bool) -> None:
    view = rc.load_balanced_view()
    taken = 0

    class Counted(list[int]):
        def __iter__(self) -> Any:
            nonlocal taken
            for n in super().__iter__():
                taken += 1
                yield n

    inputs: Any = Counted(range(500))
    if threaded:
        inputs = iter(inputs)
    results = view.imap(abs, inputs, chunksize=30, max_outstanding=50)
    for n in range(100):
        assert next(results) == n
        assert taken <= n + 1 + 50 + 30
    results.cancel()
    assert 50 <= len(list(results)) + 100 <= 180


def test_an_exception_takes_the_place_of_its_chunk_in_imap(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    bad = [1, 2, "x", 4, 5]
    found = list(view.imap(abs, bad, chunksize=2, return_exceptions=True))
    assert [type(each) for each in found] == [int, int, ipp.RemoteError, int]
    results = view.imap(abs, bad, chunksize=2)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ipp.RemoteError, match="TypeError"):
        next(results)
    assert list(results) == [5]
    with pytest.raises(ValueError, match="chunksize"):
        view.imap(abs, [1], chunksize=0)


def test_imap_leaves_no_thread(rc: ipp.Client) -> None:
    assert list(rc.load_balanced_view().imap(abs, iter([1, 2, 3]))) == [1, 2, 3]

    def feeders() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name == "ipyfleet-imap"]

    wait_until(lambda: not feeders(), "the thread of the input ends", T)


# ---- maps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 3, "auto"])
def test_maps(rc: ipp.Client, chunksize: Any) -> None:
    view = rc.load_balanced_view()
    result = view.map_async(pow, range(300), itertools.repeat(2, 300), chunksize=chunksize)
    assert len(result) == 300
    assert result.get(T) == [each**2 for each in range(300)]
    assert result.progress == 300
    assert view.map_sync(abs, {-1, -2}) in ([1, 2], [2, 1])
    assert view.map_sync(abs, []) == []
    for wrong, failure in ((0, ValueError), ("many", TypeError)):
        with pytest.raises(failure, match="chunksize"):
            view.map(abs, [1], chunksize=wrong)  # type: ignore[arg-type]


def test_short_items_go_together_and_long_ones_alone(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    short = view.map_async(abs, range(50_000), chunksize="auto")
    assert short.get(T) == list(range(50_000))
    assert len(short.msg_ids) < 5_000
    long = view.map_async(nap, [0.05] * 8, range(8), chunksize="auto")
    assert long.get(T) == list(range(8))
    assert len(long.msg_ids) == 8
    failing = view.map_async(pow, [0] * 100, [-1] * 100, chunksize="auto", return_exceptions=True)
    assert {type(each) for each in failing.get(T)} == {ipp.RemoteError}


def test_labels(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    result = view.map_async(abs, [1, 2], label="mapped")
    result.wait(T)
    assert result.label == ["mapped"] * 2
    direct = rc[:].map_async(abs, range(4), label="direct")
    direct.wait(T)
    assert direct.label == ["direct"] * ENGINES
    executed = rc[:].execute("1", label="executed")
    executed.wait(T)
    assert executed.label == ["executed"] * ENGINES


# ---- imports, files, serialization --------------------------------------------------------------


def test_sync_imports(rc: ipp.Client, capsys: pytest.CaptureFixture[str]) -> None:
    with rc[:].sync_imports():
        import colorsys
        from fractions import Fraction
    assert capsys.readouterr().out == (
        "importing colorsys on engine(s)\nimporting Fraction from fractions on engine(s)\n"
    )
    assert colorsys is sys.modules["colorsys"]
    assert rc[:].pull("str(Fraction(1, 2))", block=True) == [str(Fraction(1, 2))] * ENGINES
    with rc[0].importer:
        import wave  # noqa: F401
    assert rc[0].pull("wave.__name__", block=True) == "wave"
    capsys.readouterr()
    with rc[0].sync_imports(quiet=True):
        import cmd  # noqa: F401
    assert capsys.readouterr().out == ""
    with pytest.raises(NotImplementedError, match="use execute"):
        rc[0].sync_imports(local=False)


def test_an_import_that_fails_there(
    rc: ipp.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_on_this_side.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ipp.RemoteError, match="only_on_this_side"), rc[0].sync_imports(quiet=True):
        import only_on_this_side  # type: ignore[import-not-found]  # noqa: F401
    assert __import__.__module__ == "builtins"


def test_run(rc: ipp.Client, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("if True:\n    here = 5\n    print('ran')\n    ")
    result = rc[:].run(script, block=True, label="script")
    assert result.stdout == ["ran\n"] * ENGINES
    assert rc[:].pull("here", block=True) == [5] * ENGINES
    with pytest.raises(FileNotFoundError):
        rc[:].run(tmp_path / "missing.py")


@pytest.mark.parametrize("name", ["cloudpickle", "dill"])
def test_other_pickle_modules(rc: ipp.Client, name: str) -> None:
    need_on_engines(rc, name)
    view = rc[:]
    try:
        getattr(view, f"use_{name}")().get(T)
        # A closure over an iterator, which the standard pickle cannot send. Its globals are few:
        # dill sends those of __main__ along.
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec("def make(items):\n def take():\n  return next(items)\n return take", namespace)
        assert view.apply_sync(namespace["make"](iter([3, 4]))) == [3] * ENGINES
        view.push({"x": 5}, block=True)
        assert view["x"] == [5] * ENGINES
        assert view.map_sync(abs, [-1, -2, -3]) == [1, 2, 3]
    finally:
        view.use_pickle().get(T)
    assert view.apply_sync(ipp.interactive(lambda: x)) == [5] * ENGINES  # type: ignore[name-defined]  # noqa: F821


def test_clear(rc: ipp.Client) -> None:
    rc[:].push({"left": 1}, block=True)
    rc[0].clear(block=True)
    assert rc[:].pull("'left' in globals()", block=True) == [False] + [True] * (ENGINES - 1)
    result = rc.clear(block=False)
    assert result is not None
    result.get(T)
    assert rc[:].pull("'left' in globals()", block=True) == [False] * ENGINES


def test_names_that_are_no_identifiers(rc: ipp.Client) -> None:
    rc[:].push({"table": {}}, block=True)
    rc[:].push({"table['x']": 3}, block=True)
    assert rc[:].pull("table", block=True) == [{"x": 3}] * ENGINES
    with pytest.raises(TypeError, match="dict"):
        rc[:].push([1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="names are str"):
        rc[:].pull(["a", 1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="source text"):
        rc[:].execute(1)  # type: ignore[arg-type]


# ---- history ------------------------------------------------------------------------------------


def test_history_of_a_view(rc: ipp.Client) -> None:
    view, other = rc.load_balanced_view(), rc[:]
    first = view.apply_async(pow, 2, 2)
    mapped = view.map_async(abs, [-1, -2, -3])
    other.apply_async(pow, 1, 1)
    last = view.apply_async(nap, 0.2)
    assert view.history == [*first.msg_ids, *mapped.msg_ids, *last.msg_ids]
    assert view.outstanding >= set(last.msg_ids)
    assert not view.outstanding & set(other.history)
    assert view.wait(timeout=T)
    assert view.outstanding == set()
    assert view.get_result(0).get(T) == 4
    assert view.get_result().msg_ids == last.msg_ids
    assert view.get_result([0, 1]).get(T) == [4, 1]
    assert len(other.history) == ENGINES
    assert view.results[mapped.msg_ids[1]] == 2
    status = view.queue_status()
    assert set(rc.ids) <= set(status)
    assert repr(other).startswith("<DirectView [0, 1")
