"""Results as futures: concurrent.futures, asyncio, parts, progress, output."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
import time
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, nap, need_on_engines

T = 20


@ipp.interactive
def fail(text: str) -> None:
    """Raise an error."""
    raise ValueError(text)


# ---- concurrent.futures -------------------------------------------------------------------------


def test_results_are_futures(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    results = [view.apply_async(nap, 0.05 * n, n) for n in range(4)]
    assert all(isinstance(result, concurrent.futures.Future) for result in results)
    done, rest = concurrent.futures.wait(results, timeout=T)
    assert not rest
    assert sorted(result.result() for result in done) == [0, 1, 2, 3]
    again = list(concurrent.futures.as_completed(results, timeout=T))
    assert set(again) == set(results)
    assert all(result.done() and not result.running() for result in results)
    assert not any(result.cancelled() for result in results)


def test_waiting_for_the_first(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    slow, quick = view.apply_async(nap, 1), view.apply_async(nap, 0.05)
    done, rest = concurrent.futures.wait(
        [slow, quick], timeout=T, return_when=concurrent.futures.FIRST_COMPLETED
    )
    assert done == {quick}
    assert rest == {slow}
    failing = view.apply_async(fail, "no")
    done, rest = concurrent.futures.wait(
        [slow, failing], timeout=T, return_when=concurrent.futures.FIRST_EXCEPTION
    )
    assert failing in done
    assert isinstance(failing.exception(), ipp.RemoteError)


def test_callbacks_are_called_once(rc: ipp.Client) -> None:
    called: list[Any] = []
    event = threading.Event()
    result = rc[:].apply_async(nap, 0.05, 5)
    result.add_done_callback(lambda each: called.append(each.get()))
    result.add_done_callback(lambda each: event.set())
    assert event.wait(T)
    assert called == [[5] * ENGINES]
    result.add_done_callback(lambda each: called.append("late"))
    assert called == [[5] * ENGINES, "late"]


def test_a_callback_that_raises_harms_nobody(
    rc: ipp.Client, caplog: pytest.LogCaptureFixture
) -> None:
    event = threading.Event()
    result = rc[0].apply_async(nap, 0.05)
    result.add_done_callback(lambda each: 1 / 0)
    result.add_done_callback(lambda each: event.set())
    assert event.wait(T)
    assert "ZeroDivisionError" in caplog.text


def test_executors(rc: ipp.Client) -> None:
    with rc.executor() as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        assert executor.submit(pow, 2, 10).result(T) == 1024
        assert list(executor.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]
        pending = executor.submit(nap, 0.2, "end")
    assert pending.done()
    with rc.executor() as executor:
        all_at_once = executor.map(nap, [0.05] * 6, range(6))
        assert len(executor.view.history) == 6
    assert not executor.view.outstanding
    assert list(all_at_once) == list(range(6))
    with rc[0].executor as executor:
        assert executor.submit(pow, 2, 3).result(T) == 8


# ---- asyncio ------------------------------------------------------------------------------------


def test_results_can_be_awaited(rc: ipp.Client) -> None:
    async def main() -> None:
        view = rc.load_balanced_view()
        assert await rc[:].apply_async(nap, 0.05, 3) == [3] * ENGINES
        values = await asyncio.gather(*(view.apply_async(nap, 0.01, n) for n in range(10)))
        assert values == list(range(10))
        assert await asyncio.wrap_future(view.apply_async(pow, 2, 3)) == 8
        with pytest.raises(ipp.RemoteError, match="awaited"):
            await view.apply_async(fail, "awaited")
        assert await rc[0].apply_async(pow, 2, 2) == 4

    asyncio.run(main())


def test_an_await_that_ends_leaves_the_call_alone(rc: ipp.Client) -> None:
    async def main() -> ipp.AsyncResult:
        result = rc[0].apply_async(nap, 0.3, "done")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(result, 0.02)
        return result

    assert asyncio.run(main()).get(T) == "done"


@pytest.mark.parametrize("ordered", [True, False])
def test_maps_can_be_iterated_over_in_asyncio(rc: ipp.Client, ordered: bool) -> None:
    async def main() -> list[Any]:
        result = rc.load_balanced_view().map_async(
            nap, [0.2, 0.01, 0.01, 0.01], range(4), ordered=ordered
        )
        return [item async for item in result]

    items = asyncio.run(main())
    assert sorted(items) == [0, 1, 2, 3]
    assert (items == [0, 1, 2, 3]) is ordered


# ---- parts --------------------------------------------------------------------------------------


def test_split_and_join(rc: ipp.Client) -> None:
    result = rc[:].apply_async(nap, 0.02, 1)
    parts = result.split()
    assert len(parts) == ENGINES
    assert parts == result.split()
    assert [part.get(T) for part in parts] == [1] * ENGINES
    assert [part.engine_id for part in parts] == rc.ids
    assert ipp.AsyncResult.join(*parts).get() == [1] * ENGINES
    assert parts[0].split() == (parts[0],)
    with pytest.raises(ValueError, match="no result to join"):
        ipp.AsyncResult.join()


def test_wait_for_some(rc: ipp.Client) -> None:
    rc[:].push({"seconds": 0.01}, block=True)
    rc[1].push({"seconds": 0.6}, block=True)
    result = rc[:].apply_async(nap, ipp.Reference("seconds"))
    done, rest = result.wait(T, return_when=ipp.FIRST_COMPLETED)
    assert [part.engine_id for part in done] == [0]
    assert len(rest) == ENGINES - 1
    done, rest = result.wait(0, return_when=ipp.ALL_COMPLETED)
    assert rest
    done, rest = result.wait(T, return_when=ipp.ALL_COMPLETED)
    assert not rest
    with pytest.raises(ValueError, match="return_when"):
        result.wait(0, return_when="SOME")


def test_get_raises_at_the_first_exception(rc: ipp.Client) -> None:
    rc[:].execute("def work(): raise ValueError('quick')", block=True)
    rc[0].execute("def work():\n import time; time.sleep(1)", block=True)
    result = rc[:].apply_async(ipp.Reference("work"))
    start = time.monotonic()
    with pytest.raises(ipp.RemoteError, match="quick"):
        result.get(T, return_when=ipp.FIRST_EXCEPTION)
    assert not result.ready()
    assert time.monotonic() - start < T
    result.wait(T)
    with pytest.warns(UserWarning, match="no effect"), pytest.raises(ipp.CompositeError):
        result.get(return_when=ipp.FIRST_COMPLETED)


# ---- progress, times, output --------------------------------------------------------------------


def test_times(rc: ipp.Client) -> None:
    result = rc[:].apply_async(nap, 0.1)
    assert result.progress == 0
    result.wait(T)
    assert result.progress == len(result) == ENGINES
    assert result.serial_time >= 0.1 * ENGINES
    assert result.wall_time >= 0.1
    assert result.elapsed == result.wall_time
    assert result.timedelta(result.submitted, result.received) == result.wall_time
    assert result.timedelta(result.submitted[0], result.submitted[0]) == 0


def test_wait_interactive_shows_progress(
    rc: ipp.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    result = rc.load_balanced_view().map_async(nap, [0.01] * 10)
    result.wait_interactive(interval=0.01)
    assert result.ready()
    assert "10/10" in capsys.readouterr().out
    slow = rc[:].apply_async(nap, 0.4)
    slow.wait_interactive(timeout=0.05)
    assert not slow.ready()
    rc.wait_interactive(slow)
    assert slow.ready()


def test_wait_interactive_without_tqdm(
    rc: ipp.Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    rc[:].apply_async(nap, 0.05).wait_interactive()
    assert f"nap: {ENGINES}/{ENGINES} tasks\n" in capsys.readouterr().out


def test_streaming(rc: ipp.Client, capsys: pytest.CaptureFixture[str]) -> None:
    result = rc[:].execute("import time\nfor i in range(3):\n print('line', i)\n time.sleep(.05)")
    with result.stream_output():
        result.wait(T)
        result.wait_for_output(T)
    text = capsys.readouterr().out
    for engine_id in rc.ids:
        assert f"[stdout:{engine_id}]" in text
    assert text.count("line 2\n") == ENGINES


def test_display_outputs(rc: ipp.Client, capsys: pytest.CaptureFixture[str]) -> None:
    result = rc[:].execute("import sys; print('out'); print('err', file=sys.stderr)", block=True)
    result.display_outputs()
    shown = capsys.readouterr()
    assert shown.out == "".join(f"[stdout:{each}] \nout\n" for each in rc.ids)
    assert shown.err == "".join(f"[stderr:{each}] \nerr\n" for each in rc.ids)
    result.display_outputs(groupby="engine")
    assert capsys.readouterr().out.startswith("[stdout:0] \nout\n")
    with pytest.raises(ValueError, match="groupby"):
        result.display_outputs(groupby="size")
    single = rc[0].execute("print('alone')", block=True)
    single.display_outputs()
    assert capsys.readouterr().out == "alone\n"
    with pytest.raises(ipp.TimeoutError):
        rc[0].apply_async(nap, 0.2).display_outputs()


def test_published_data(rc: ipp.Client) -> None:
    @ipp.interactive
    def work() -> str:
        from ipyparallel.datapub import publish_data

        for step in range(3):
            publish_data({"step": step, "data": list(range(step))})
        return "done"

    result = rc[:].apply_async(work)
    assert result.get(T) == ["done"] * ENGINES
    assert result.wait_for_output(T)
    assert result.data == [{"step": 2, "data": [0, 1]}] * ENGINES


def test_sent(rc: ipp.Client) -> None:
    need_on_engines(rc, "numpy")
    import numpy

    array = numpy.zeros(200_000)
    rc[0].execute("def take(a):\n import time; time.sleep(.3); return a.nbytes", block=True)
    view = rc[0]
    view.track = True
    result = view.apply_async(ipp.Reference("take"), array)
    assert not result.sent
    with pytest.raises(ipp.TimeoutError, match="Still waiting"):
        result.wait_for_send(0.01)
    result.wait_for_send(T)
    assert result.sent
    assert result.get(T) == array.nbytes
    assert rc[0].push({"a": array}, block=False).sent, "only what is tracked can be unsent"


def test_streaming_in_a_notebook(rc: ipp.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display
    from ipyfleet import display

    shown: list[tuple[str, str, bool]] = []

    def publish(data: dict[str, Any], transient: dict[str, str], update: bool) -> None:
        shown.append((transient["display_id"], data["text/plain"], update))

    monkeypatch.setattr(display, "in_kernel", lambda: True)
    monkeypatch.setattr(IPython.display, "publish_display_data", publish)
    result = rc[0].execute("import time\nfor i in range(3):\n print(i)\n time.sleep(.15)")
    with result.stream_output():
        result.wait(T)
        result.wait_for_output(T)
    assert len({place for place, _, _ in shown}) == 1, "one place for the stream of an engine"
    assert [update for _, _, update in shown] == [False] + [True] * (len(shown) - 1)
    assert shown[-1][1] == "[stdout:0] 0\n1\n2\n"


def test_progress_widgets() -> None:
    pytest.importorskip("ipywidgets")
    from ipyfleet.display import progress

    bar = progress(3, unit="tasks", desc="work", widget=True)
    bar.update(3)
    assert bar.n == 3
    assert type(bar).__module__ == "tqdm.notebook"
    bar.close()


def test_views_can_be_extended(rc: ipp.Client) -> None:
    class Doubling(ipp.LoadBalancedView):
        """Gives twice the result."""

        def apply_sync(self, f: Any, /, *args: Any, **kwargs: Any) -> Any:
            return 2 * super().apply_sync(f, *args, **kwargs)

    assert Doubling(rc, retries=1).apply_sync(pow, 2, 3) == 16
