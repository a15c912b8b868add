"""The magics of IPython: %px, %%px, %autopx, %pxresult, %pxconfig."""

from __future__ import annotations

import _thread
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipyfleet as ipp
import pytest
from conftest import ENGINES, START_SECONDS, Cluster, wait_until

T = 20


@pytest.fixture
def ip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An IPython shell of this process."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    try:
        yield shell
    finally:
        InteractiveShell.clear_instance()


class Session:
    """Runs cells and returns what they print."""

    def __init__(self, ip: Any, capsys: pytest.CaptureFixture[str]) -> None:
        self.ip = ip
        self._capsys = capsys
        self.result: Any = None

    def __call__(self, cell: str) -> str:
        self._capsys.readouterr()
        self.result = self.ip.run_cell(cell)
        self.errors: str
        shown = self._capsys.readouterr()
        self.errors = shown.err
        return shown.out


@pytest.fixture
def run(ip: Any, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> Iterator[Session]:
    """A session with a client."""
    with ipp.Client(cluster.file, timeout=20) as client:
        client.wait_for_engines(ENGINES, timeout=START_SECONDS, interactive=False)
        ip.user_ns["rc"] = client
        yield Session(ip, capsys)
        client.wait(timeout=T)


def test_the_first_client_makes_them_known(run: Session) -> None:
    names = run.ip.magics_manager.magics
    assert {"px", "pxresult", "pxconfig", "autopx", "result"} <= set(names["line"])
    assert "px" in names["cell"]
    assert run("%px print('hello')") == "".join(f"[stdout:{i}] \nhello\n" for i in range(ENGINES))


def test_values_and_errors(run: Session) -> None:
    text = run("%px 6 * 7")
    for engine_id in range(ENGINES):
        assert re.search(rf"Out\[{engine_id}:\d+\]: 42", text)
    run("%px 1 / 0")
    assert isinstance(run.result.error_in_exec, ipp.AlreadyDisplayedError)
    assert "division by zero" in run.errors
    run("%%px --no-stream\n1 / 0")
    assert isinstance(run.result.error_in_exec, ipp.CompositeError)


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize("group", ["-e", "-r", "--group-outputs=type", ""])
def test_cells_and_groups(run: Session, stream: str, group: str) -> None:
    text = run(f"%%px {stream} {group}\nprint('one')\nprint('two')")
    for engine_id in range(ENGINES):
        assert f"[stdout:{engine_id}]" in text
    assert text.count("one\n") == text.count("two\n") == ENGINES


@pytest.mark.parametrize(
    ("targets", "ids"), [("0", [0]), ("0:1", [0]), ("[1]", [1]), ("1,0", [1, 0]), ("all", [0, 1])]
)
def test_targets(run: Session, targets: str, ids: list[int]) -> None:
    run(f"%%px --targets {targets} -o saved\nprint('x')")
    saved = run.ip.user_ns["saved"]
    assert (saved.engine_id if isinstance(saved.engine_id, list) else [saved.engine_id]) == ids
    run("%px -1")


def test_without_waiting(run: Session) -> None:
    text = run("ar = get_ipython().run_cell_magic('px', '--noblock', 'print(5)')")
    assert text == ""
    assert isinstance(run.ip.user_ns["ar"], ipp.AsyncResult)
    run.ip.user_ns["ar"].wait(T)
    assert run("%pxresult").count("5\n") == ENGINES
    assert run("%result -e").count("5\n") == ENGINES
    run("%pxresult -o again")
    assert run.ip.user_ns["again"] is run.ip.user_ns["ar"]


def test_pxresult_before_anything(run: Session) -> None:
    run("%pxresult")
    assert "there was none yet" in run.errors


def test_local(run: Session) -> None:
    text = run("%%px --local\nhere_too = 7\nprint('twice')")
    assert text.count("twice\n") == ENGINES + 1
    assert run.ip.user_ns["here_too"] == 7


def test_pxconfig(run: Session) -> None:
    run("%pxconfig --noblock --targets 0 --verbose --progress-after 0.5 --signal-on-interrupt 2")
    magics = run.ip.magics_manager.magics["line"]["pxconfig"].__self__
    assert not magics.view.block
    assert magics.view.targets == 0
    assert magics.progress_after_seconds == 0.5
    assert magics.signal_on_interrupt == 2
    assert "Async parallel execution on engine(s): 0" in run("%px 1")
    run("%pxconfig --block --no-verbose --no-stream")
    assert not magics.stream_output
    assert run("%px print('x')") == "x\n"
    run("%pxconfig --stream --targets all")
    assert magics.stream_output
    assert magics.view.targets == "all"


def test_suffixes(run: Session) -> None:
    run("rc[1].activate('_one')\nrc.activate(0, suffix='_zero')")
    run("%px_one -1\n%px_one who = 'one'")
    run("%px_zero who = 'zero'")
    run("rc[:].get('who')")
    assert run.result.result == ["zero", "one"]


def test_autopx(run: Session) -> None:
    assert run("%autopx") == "%autopx enabled\n"
    run("auto = 8")
    assert "auto" not in run.ip.user_ns
    assert run("print(auto)").count("8\n") == ENGINES
    run("1 / 0")
    assert "division by zero" in run.errors
    assert run("%autopx") == "%autopx disabled\n"
    assert run("print('here')") == "here\n"


def test_progress(run: Session) -> None:
    text = run("%%px --progress-after 0\nimport time; time.sleep(0.3)")
    assert f"{ENGINES}/{ENGINES}" in text
    assert "tasks" not in run("%%px --progress-after -1\nimport time; time.sleep(0.1)")


def test_an_interrupt_reaches_the_engines(run: Session) -> None:
    timer = threading.Timer(0.6, _thread.interrupt_main)
    timer.start()
    run("%%px --signal-on-interrupt SIGINT\nimport time; time.sleep(100)")
    timer.join()
    assert "sending SIGINT" in run.errors
    client = run.ip.user_ns["rc"]
    assert client.wait(timeout=T)
    with pytest.raises(ipp.RemoteError, match="KeyboardInterrupt"):
        run.ip.magics_manager.magics["line"]["px"].__self__.last_result.get(T)


def test_plots(run: Session) -> None:
    published: list[Any] = []
    run.ip.display_pub.publish = lambda data, metadata=None, **_: published.append((data, metadata))
    code = "from IPython.display import HTML, display; display(HTML('<b>x</b>'))"
    result = run.ip.user_ns["rc"][:].execute(code, block=True)
    for group in ("type", "engine", "order"):
        published.clear()
        result.display_outputs(group)
        plots = [each for each in published if "text/html" in each[0]]
        assert [metadata["engine"] for _, metadata in plots] == list(range(ENGINES))


def test_the_extension_connects_when_it_is_used(
    ip: Any, cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Session(ip, capsys)
    monkeypatch.setenv("IPP_PROFILE_DIR", str(cluster.profile_dir))
    run("%load_ext ipyfleet")
    client = None

    def count() -> int:
        return run("%px print('ext')").count("ext\n")

    try:
        wait_until(lambda: count() == ENGINES, "all engines answer", T)
        client = ip.magics_manager.magics["line"]["px"].__self__.view.client
    finally:
        if client is not None:
            client.close()
    run("%unload_ext ipyfleet")
    assert "px" not in ip.magics_manager.magics["line"]


def test_outside_of_ipython(rc: ipp.Client) -> None:
    with pytest.warns(UserWarning, match="IPython only"):
        rc[:].activate()
