"""Unmodified client: execute, outputs on iopub and the %px magics."""

from __future__ import annotations

from collections.abc import Iterator

import ipyparallel as ipp
import numpy as np
import pytest
from ipyparallel import interactive
from ipyparallel.error import AlreadyDisplayedError, CompositeError, RemoteError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from .conftest import SHARED_ENGINES
from .pairings import A, B, C
from .polling import plain, wait_until
from .stack import Stack

T = 20.0


@interactive
def talk(text: str, error_text: str = "") -> str:
    """Print on both streams."""
    import sys

    print(text)
    print(error_text, end="", file=sys.stderr)
    return text.upper()


def test_execute_result_and_streams(rc: ipp.Client) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); 6 * 7"
    ar = rc[0].execute(code, silent=False)
    reply = ar.get(timeout=T)
    assert ar.wait_for_output(T)
    assert ar.stdout == "out\n"
    assert ar.stderr == "err\n"
    assert reply.execute_result["data"]["text/plain"] == "42"
    assert ar.execute_input == code
    assert reply.execution_count == ar.execute_result["execution_count"]


def test_execution_count_grows_only_for_non_silent_code(rc: ipp.Client) -> None:
    def count(silent: bool) -> int:
        return rc[1].execute("1", silent=silent).get(timeout=T).execution_count

    first = count(silent=False)
    assert count(silent=False) == first + 1
    count(silent=True)
    assert count(silent=False) == first + 2


def test_silent_execute_has_no_result_but_streams(rc: ipp.Client) -> None:
    ar = rc[0].execute("print('still seen'); 5", silent=True)
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    assert ar.stdout == "still seen\n"
    assert not ar.execute_result


def test_execute_defines_names_and_runs_ipython_syntax(rc: ipp.Client) -> None:
    rc[:].execute("x = 3\nfiles = !echo one", silent=False).get(timeout=T)
    assert rc[:]["x"] == [3] * SHARED_ENGINES
    assert rc[0].apply_sync(interactive(lambda: list(files))) == ["one"]  # noqa: F821


@pytest.mark.pairings(B, C, why="the reference's engine never answers with ipykernel 7")
def test_execute_supports_top_level_await(rc: ipp.Client) -> None:
    code = "import asyncio\nawait asyncio.sleep(0.01, 'slept')"
    ar = rc[0].execute(code, silent=False)
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    assert ar.execute_result["data"]["text/plain"] == "'slept'"
    with pytest.raises(RemoteError, match="KeyError"):
        rc[0].execute("raise await asyncio.sleep(0, KeyError('x'))").get(timeout=T)


def test_execute_error(rc: ipp.Client) -> None:
    ar = rc[0].execute("def f():\n    return 1 // 0\nf()", silent=False)
    with pytest.raises(RemoteError) as caught:
        ar.get(timeout=T)
    assert caught.value.ename == "ZeroDivisionError"
    assert caught.value.engine_info["method"] == "execute"
    assert "return 1 // 0" in plain("\n".join(caught.value.render_traceback()))
    with pytest.raises(RemoteError, match="SyntaxError"):
        rc[1].execute("def (", silent=False).get(timeout=T)


def test_display_data(rc: ipp.Client) -> None:
    code = (
        "from IPython.display import display, HTML\n"
        "display(HTML('<b>bold</b>'))\ndisplay({'k': 1}); 'last'"
    )
    ar = rc[0].execute(code, silent=False)
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    shown = [output["data"] for output in ar.outputs]
    assert shown[0]["text/html"] == "<b>bold</b>"
    assert shown[1]["text/plain"] == "{'k': 1}"
    assert ar.execute_result["data"]["text/plain"] == "'last'"


def test_apply_with_prints_and_wait_for_output(rc: ipp.Client) -> None:
    ar = rc[:].apply_async(talk, "hello", "careful")
    assert ar.get(timeout=T) == ["HELLO"] * SHARED_ENGINES
    assert ar.wait_for_output(T)
    assert ar.stdout == ["hello\n"] * SHARED_ENGINES
    assert ar.stderr == ["careful"] * SHARED_ENGINES


def test_outputs_of_balanced_tasks_have_the_right_parent(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    results = [view.apply_async(talk, f"task {i}") for i in range(30)]
    for i, ar in enumerate(results):
        ar.get(timeout=T)
        assert ar.wait_for_output(T)
        assert ar.stdout == f"task {i}\n"


def test_output_that_is_not_python_is_captured(rc: ipp.Client) -> None:
    ar = rc[0].execute("import os; os.write(1, b'from fd 1\\n')\n!echo from a child")
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    wait_until(
        lambda: "from fd 1" in ar.stdout and "from a child" in ar.stdout,
        "output of fd 1 and of a child",
    )


def test_a_lot_of_output_is_complete_and_in_order(rc: ipp.Client) -> None:
    ar = rc[0].execute("for i in range(20000): print(i)")
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    assert ar.stdout.split() == [str(i) for i in range(20_000)]


def test_output_arrives_while_the_task_still_runs(rc: ipp.Client) -> None:
    ar = rc[0].execute("import time; print('early', flush=True); time.sleep(2); print('late')")
    wait_until(lambda: "early" in ar.stdout, "output before the end of the task", 1.5)
    assert not ar.ready()
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    assert ar.stdout == "early\nlate\n"


def test_two_clients_get_their_own_outputs_only(stack: Stack, rc: ipp.Client) -> None:
    other = stack.client()
    wait_until(lambda: other[0].apply_async(talk, "?").wait_for_output(1), "outputs arrive", 5)
    mine, theirs = [], []
    for i in range(20):
        mine.append(rc[:].apply_async(talk, f"mine {i}"))
        theirs.append(other[:].apply_async(talk, f"theirs {i}"))
    for name, results in (("mine", mine), ("theirs", theirs)):
        for i, ar in enumerate(results):
            ar.get(timeout=T)
            assert ar.wait_for_output(T)
            assert ar.stdout == [f"{name} {i}\n"] * SHARED_ENGINES


@pytest.mark.pairings(A, C, why="the reference loses them now and then, as any late subscriber")
def test_a_client_that_submits_at_once_loses_no_output(stack: Stack) -> None:
    """Outputs must wait for the subscription that a new client has just sent."""
    for attempt in range(15):
        fresh = stack.client()
        wait_until(lambda rc=fresh: len(rc.ids) == SHARED_ENGINES, "all engines")
        results = [fresh[:].apply_async(talk, f"{attempt}.{i}") for i in range(3)]
        for i, ar in enumerate(results):
            ar.get(timeout=T)
            assert ar.wait_for_output(3), f"attempt {attempt}, call {i}: {ar.stdout}"
            assert ar.stdout == [f"{attempt}.{i}\n"] * SHARED_ENGINES
        stack.close_clients()


def test_output_of_an_idle_thread_disturbs_no_later_task(rc: ipp.Client) -> None:
    late = (
        "import threading, time\n"
        "def late():\n    time.sleep(0.3)\n    print('late thread')\n"
        "threading.Thread(target=late).start()"
    )
    rc[0].execute(late).get(timeout=T)
    ar = rc[0].execute("print('next'); time.sleep(0.6)")
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    assert ar.stdout.startswith("next\n")


def test_published_data_reaches_the_async_result(rc: ipp.Client) -> None:
    @interactive
    def publish() -> None:
        import numpy
        from ipyparallel.datapub import publish_data

        publish_data({"step": 1})
        publish_data({"step": 2, "array": numpy.arange(1000.0)})

    ar = rc[0].apply_async(publish)
    ar.get(timeout=T)
    assert ar.wait_for_output(T)
    assert ar.data["step"] == 2
    np.testing.assert_array_equal(ar.data["array"], np.arange(1000.0))


def test_after_a_failed_execute_queued_executes_are_aborted_but_applies_run(
    rc: ipp.Client,
) -> None:
    view = rc[0]
    results = [
        view.execute("import time; time.sleep(0.5); 1 / 0", silent=False),
        view.execute("ran = True", silent=False),
        view.apply_async(interactive(lambda: "applied")),
    ]
    with pytest.raises(RemoteError, match="ZeroDivisionError"):
        results[0].get(timeout=T)
    with pytest.raises(ipp.error.TaskAborted):
        results[1].get(timeout=T)
    assert results[2].get(timeout=T) == "applied"


# --- magics -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    """An IPython shell in this process."""
    config = Config()
    config.HistoryManager.enabled = False
    instance = InteractiveShell.instance(config=config, colors="nocolor")
    yield instance
    InteractiveShell.clear_instance()


@pytest.fixture
def px(shell: InteractiveShell, rc: ipp.Client) -> InteractiveShell:
    """The shell with %px for all engines of ``rc``."""
    rc.activate("all")
    return shell


def test_px_line(px: InteractiveShell, rc: ipp.Client, capsys: pytest.CaptureFixture[str]) -> None:
    px.run_line_magic("px", "a = 5")
    assert rc[:]["a"] == [5] * SHARED_ENGINES
    px.run_line_magic("px", "print(a)")
    shown = capsys.readouterr().out.split()
    assert sorted(shown) == ["5"] * SHARED_ENGINES + [
        f"[stdout:{i}]" for i in range(SHARED_ENGINES)
    ]


def test_px_shows_results_and_errors(
    px: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    px.run_line_magic("px", "111 * 3")
    out = plain(capsys.readouterr().out)
    assert all(f"Out[{i}:" in out for i in range(SHARED_ENGINES))
    assert out.count("333") == SHARED_ENGINES
    with pytest.raises((AlreadyDisplayedError, CompositeError)) as caught:
        px.run_line_magic("px", "1 / 0")
    shown = plain(capsys.readouterr().err)  # the client has shown the errors, or it raises them
    text = shown if isinstance(caught.value, AlreadyDisplayedError) else str(caught.value)
    assert text.count("division by zero") == SHARED_ENGINES


def test_px_cell_with_targets_and_local(
    px: InteractiveShell, rc: ipp.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    px.run_cell_magic("px", "--targets 1", "import os, socket\nprint(os.getpid())")
    pid = rc[1].apply_sync(interactive(lambda: __import__("os").getpid()))
    assert str(pid) in capsys.readouterr().out
    px.run_cell_magic("px", "--local", "both = 'here and there'")
    assert px.user_ns["both"] == "here and there"
    assert rc[:]["both"] == ["here and there"] * SHARED_ENGINES


def test_px_without_block_and_pxresult(
    px: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    px.run_cell_magic("px", "--noblock -o later", "print('deferred')")
    later = px.user_ns["later"]
    assert later.wait_for_output(T)
    capsys.readouterr()
    px.run_line_magic("pxresult", "")
    assert capsys.readouterr().out.count("deferred") == SHARED_ENGINES


def test_autopx(px: InteractiveShell, rc: ipp.Client, capsys: pytest.CaptureFixture[str]) -> None:
    px.run_line_magic("autopx", "")
    try:
        px.run_cell("auto = 'remote'")
        px.run_cell("print(auto)")
    finally:
        px.run_cell("%autopx")
    assert rc[:]["auto"] == ["remote"] * SHARED_ENGINES
    assert "auto" not in px.user_ns
    assert capsys.readouterr().out.count("remote") >= SHARED_ENGINES
