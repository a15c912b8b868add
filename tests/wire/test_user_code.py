"""What user code may do to an engine: each case ends with a reply and an engine that works."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import ipyparallel as ipp
import pytest

from .pairings import B, C
from .polling import wait_until
from .raw import RawPeer
from .stack import Stack

TIMEOUT = 30
pytestmark = pytest.mark.pairings(B, C, why="our engines")

Run = Callable[[str], Any]


@pytest.fixture(params=["apply", "execute"])
def run(request: pytest.FixtureRequest, rc: ipp.Client) -> Run:
    """Run code on one engine by apply or by execute; returns what ``f`` of the code returns."""
    view = rc[0]

    def run_code(code: str) -> Any:
        if request.param == "execute":
            view.execute(f"{code}\nresult = f()", block=True).get(TIMEOUT)
            return None
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(code, scope)
        return view.apply_async(scope["f"]).get(TIMEOUT)

    return run_code


def works(rc: ipp.Client) -> None:
    """The engine calls, executes and prints."""
    assert rc[0].apply_async(os.getpid).get(TIMEOUT) > 0
    result = rc[0].execute("print('still here')", silent=False)
    result.get(TIMEOUT)
    result.wait_for_output(TIMEOUT)
    assert result.stdout == "still here\n"


CASES = {
    "text that raises": (
        "def f():\n"
        "    class E(Exception):\n"
        "        def __str__(self): raise RuntimeError('no text')\n"
        "        __repr__ = __str__\n"
        "    raise E()",
        "E",
    ),
    "text that is no text": (
        "def f():\n    class E(Exception):\n        def __str__(self): return 5\n    raise E()",
        "E",
    ),
    "traceback that raises": (
        "def f():\n"
        "    class E(Exception):\n"
        "        def _render_traceback_(self): raise ValueError('no')\n"
        "    raise E('shown')",
        "E",
    ),
    "endless recursion": (
        "def f():\n    def g(): return g() + 1\n    return g()",
        "RecursionError",
    ),
    "sys.exit": ("def f():\n    import sys\n    sys.exit(3)", "SystemExit"),
    "interrupt raised": ("def f(): raise KeyboardInterrupt", "KeyboardInterrupt"),
    "exit of generators": ("def f(): raise GeneratorExit", "GeneratorExit"),
    "exception group": (
        "def f():\n    raise ExceptionGroup('many', [ValueError(1), TypeError(2)])",
        "ExceptionGroup",
    ),
    "lone surrogate": ("def f(): raise ValueError('\\ud800')", "ValueError"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_what_is_raised_arrives(name: str, run: Run, rc: ipp.Client) -> None:
    code, ename = CASES[name]
    with pytest.raises(ipp.RemoteError) as failure:
        run(code)
    assert failure.value.ename == ename
    works(rc)


@pytest.mark.parametrize(
    "result",
    ["(i for i in ())", "__import__('threading').Lock()", "open('/dev/null')"],
)
def test_a_result_that_cannot_be_pickled(result: str, rc: ipp.Client) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(f"def f(): return {result}", scope)
    with pytest.raises(ipp.RemoteError, match="TypeError"):
        rc[0].apply_async(scope["f"]).get(TIMEOUT)
    works(rc)


def test_a_result_whose_pickling_raises(rc: ipp.Client) -> None:
    rc[0].execute(
        "class Bad:\n    def __reduce__(self): raise SystemExit('not to be pickled')", block=True
    )
    with pytest.raises(ipp.RemoteError, match="SystemExit"):
        rc[0].apply_async(ipp.interactive(lambda: Bad())).get(TIMEOUT)  # type: ignore[name-defined]  # noqa: F821
    works(rc)


def test_a_value_that_cannot_be_shown(rc: ipp.Client) -> None:
    code = "class Bad:\n    def __repr__(self): raise ValueError('not shown')\nBad()"
    with pytest.raises(ipp.RemoteError, match="not shown"):
        rc[0].execute(code, silent=False).get(TIMEOUT)
    works(rc)


def test_a_directory_that_is_gone(rc: ipp.Client) -> None:
    @ipp.interactive
    def leave() -> str:
        import os
        import tempfile

        before = os.getcwd()
        gone = tempfile.mkdtemp()
        os.chdir(gone)
        os.rmdir(gone)
        return before

    before = rc[0].apply_async(leave).get(TIMEOUT)
    works(rc)
    rc[0].execute("import fractions, wave", block=True).get(TIMEOUT)
    rc[0].apply_async(os.chdir, before).get(TIMEOUT)


def test_bytes_that_are_no_text(rc: ipp.Client) -> None:
    result = rc[0].execute(
        "import os, sys\n"
        "sys.stdout.buffer.write(bytes(range(128, 256)))\n"
        "sys.stdout.flush()\n"
        "os.write(1, b'\\xe2\\x82')\n"
        "os.write(1, b'\\xac\\xff\\x00 end')\n",
        silent=False,
    )
    result.get(TIMEOUT)
    result.wait_for_output(TIMEOUT)
    assert "\ufffd" in result.stdout
    assert "€\ufffd\x00 end" in result.stdout
    works(rc)


def test_an_interrupt_at_any_moment(stack: Stack, rc: ipp.Client) -> None:
    """Each call ends with its result or KeyboardInterrupt, whenever the interrupts come."""

    @ipp.interactive
    def work(seconds: float) -> str:
        import time

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sum(range(100))
        return "done"

    view = rc[0]
    target = rc._engines[0].encode()
    dice = random.Random(7)
    outcomes = {"done": 0, "KeyboardInterrupt": 0}
    with RawPeer(stack.connection("client")) as peer:
        for _ in range(60):
            running = [view.apply_async(work, dice.uniform(0, 0.004)) for _ in range(3)]
            for _ in range(4):
                time.sleep(dice.uniform(0, 0.003))
                peer.send("control", peer.message("interrupt_request", {}), target)
            for one in running:
                try:
                    outcomes[one.get(timeout=TIMEOUT)] += 1
                except ipp.RemoteError as error:
                    outcomes[error.ename] += 1
        while peer.receive("control", timeout=0.2):
            pass
    assert sum(outcomes.values()) == 180
    assert outcomes["KeyboardInterrupt"] > 0
    works(rc)


# ---------------------------------------------------------------- engines of their own


@pytest.fixture
def alone(make_stack: Callable[..., Stack]) -> tuple[Stack, ipp.Client]:
    stack = make_stack()
    stack.start_controller()
    return stack, stack.start_engines(1, "--output-limit=1")


def test_replaced_signal_handlers(alone: tuple[Stack, ipp.Client]) -> None:
    _, rc = alone
    rc[0].execute(
        "import signal\n"
        "seen = []\n"
        "for one in (signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):\n"
        "    signal.signal(one, lambda number, frame: seen.append(number))",
        block=True,
    ).get(TIMEOUT)
    works(rc)
    rc.send_signal(signal.SIGUSR1, targets=0, block=True)
    wait_until(lambda: rc[0].pull("seen", block=True) == [signal.SIGUSR1], "the user's handler ran")
    rc[0].execute("signal.signal(signal.SIGTERM, signal.SIG_IGN)", block=True).get(TIMEOUT)
    works(rc)  # and the stack stops it in time, see Stack.stop


def test_closed_standard_descriptors(alone: tuple[Stack, ipp.Client]) -> None:
    _, rc = alone
    rc[0].execute("import os\nfor fd in (0, 1, 2): os.close(fd)", block=True).get(TIMEOUT)
    works(rc)
    rc[0].execute("import subprocess; subprocess.run(['true'], check=True)", block=True).get(
        TIMEOUT
    )
    works(rc)


def test_an_engine_without_its_sockets_is_given_up(alone: tuple[Stack, ipp.Client]) -> None:
    _, rc = alone
    lost = rc[0].execute("import os; os.closerange(3, 4096)", silent=True)
    with pytest.raises(ipp.RemoteError):
        lost.get(TIMEOUT)
    wait_until(lambda: rc.ids == [], "the engine is gone", TIMEOUT)


@pytest.mark.parametrize(
    "code",
    [
        "for _ in range(300): print('x' * 10_000)",
        "import os\nfor _ in range(300): os.write(1, b'y' * 10_000)",
        "print('ä' * 2_000_000)",
    ],
)
def test_endless_output_is_cut_and_marked(alone: tuple[Stack, ipp.Client], code: str) -> None:
    _, rc = alone
    for _ in range(2):  # the next request has all of it again
        result = rc[0].execute(code, silent=False)
        result.get(TIMEOUT)
        result.wait_for_output(TIMEOUT)
        assert 900_000 < len(result.stdout.encode()) < 1_200_000
        assert result.stdout.count("the rest is not shown") == 1, result.stdout[-100:]
    works(rc)


def test_a_gigabyte_of_prints(make_stack: Callable[..., Stack]) -> None:
    rc = make_stack().start(1)
    code = "line = 'z' * 999_999\nfor _ in range(1000): print(line)"
    result = rc[0].execute(code, silent=True)
    result.get(60)
    result.wait_for_output(60)
    assert result.stdout.endswith("the rest is not shown]\n")
    works(rc)
