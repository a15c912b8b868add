"""The engine's shell, driven through the calls of the C++ host with a recording bridge."""

from __future__ import annotations

import base64
import builtins
import getpass
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import IPython
import pytest
from fake_bridge import FakeBridge, Published
from ipyfleet import canning, compat
from ipyfleet.engine import shell as engine_shell
from ipyfleet.serialize import Reference, deserialize_object, pack_apply_message

HERE = Path(__file__).parent
INFO = {"engine_uuid": "uuid-3", "engine_id": 3}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Engine:
    """A shell with its bridge, and short forms of the requests."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.bridge = FakeBridge()
        self.host = engine_shell.start(self.bridge, config)
        self.shell = self.host.shell
        self.ns = self.shell.user_ns

    def attach(self) -> None:
        """Put the streams back, which pytest replaces between set-up and test."""
        sys.stdout, sys.stderr = self.host._streams  # type: ignore[assignment]

    def call_frames(self, frames: list[Any]) -> Any:
        self.attach()
        views = [memoryview(bytes(frame)) for frame in frames]
        failure, reply = self.host.apply("0a-1_2_3", views)
        if failure is not None:
            assert reply == []
            return json.loads(failure)
        obj, rest = deserialize_object(reply)
        assert rest == []
        return obj

    def call(self, f: Any, *args: Any, **kwargs: Any) -> Any:
        return self.call_frames(pack_apply_message(f, args, kwargs))

    def call_source(self, source: str, *args: Any, **kwargs: Any) -> Any:
        """Send a function of ``__main__`` called f."""
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(source, "<client>", "exec", dont_inherit=True), scope)
        return self.call(scope["f"], *args, **kwargs)

    def execute(self, code: str, **more: Any) -> dict[str, Any]:
        self.attach()
        request = {"code": code, "silent": False, "user_expressions": {}, **more}
        return json.loads(self.host.execute("m", json.dumps(request)))

    def take(self, *types: str) -> list[Published]:
        return [m for m in self.bridge.take() if not types or m.msg_type in types]


@pytest.fixture(scope="module")
def ipython_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ipython")


@pytest.fixture
def make_engine(
    monkeypatch: pytest.MonkeyPatch, ipython_dir: Path, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """Make engines in this process and leave no trace of them."""
    for name in ("stdout", "stderr", "displayhook", "path"):
        value = getattr(sys, name)
        monkeypatch.setattr(sys, name, list(value) if name == "path" else value)
    monkeypatch.setattr(builtins, "input", builtins.input)
    monkeypatch.setattr(getpass, "getpass", getpass.getpass)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: None)
    monkeypatch.delitem(os.environ, "PYTHONSTARTUP", raising=False)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    # Another test of this process may have imported the real package.
    for name in [name for name in sys.modules if name.partition(".")[0] == "ipyparallel"]:
        monkeypatch.delitem(sys.modules, name)
    made: list[Engine] = []

    def make(**config: Any) -> Engine:
        made.append(Engine({"profile_dir": str(ipython_dir / "profile"), **config}))
        return made[-1]

    yield make
    for engine in made:
        loop = engine.host.loop._loop
        if loop is not None:
            loop.close()
        engine_shell.EngineInteractiveShell.clear_instance()
    for name in ("__IPYTHON__", "display", "get_ipython"):
        builtins.__dict__.pop(name, None)
    compat.uninstall()


@pytest.fixture
def engine(make_engine: Any) -> Engine:
    return make_engine()


def plain(lines: list[str]) -> str:
    return ANSI.sub("", "\n".join(lines))


# ---------------------------------------------------------------- apply


def test_a_function_of_main_uses_the_user_namespace(engine: Engine) -> None:
    engine.ns["offset"] = 40
    assert engine.call_source("def f(x, *, y): return x + y + offset", 1, y=1) == 42
    assert engine.take() == []


def test_a_function_can_define_names_in_the_user_namespace(engine: Engine) -> None:
    engine.call_source("def f():\n    global made\n    made = [1]")
    assert engine.ns["made"] == [1]


def test_calls_leave_no_names_behind(engine: Engine) -> None:
    before = set(engine.ns)
    engine.call_source("def f(): return 1")
    engine.call_source("def f(): return 1 / 0")
    assert set(engine.ns) == before


def test_references_are_looked_up_in_the_user_namespace(engine: Engine) -> None:
    engine.ns["a"] = [7, 8]
    assert engine.call_source("def f(x, y): return x, y", Reference("a[1]"), y=Reference("a")) == (
        8,
        [7, 8],
    )


def test_a_missing_reference_is_a_name_error(engine: Engine) -> None:
    assert engine.call_source("def f(x): pass", Reference("nope"))["ename"] == "NameError"


def test_functions_of_modules_run(engine: Engine) -> None:
    assert engine.call(base64.b64encode, b"abc") == b"YWJj"


def test_results_with_large_buffers_come_back(engine: Engine) -> None:
    data = os.urandom(5000)
    assert engine.call_source("def f(d): return [d, {'k': d}]", data) == [data, {"k": data}]


def test_get_ipython_leads_to_engine_and_namespace(engine: Engine) -> None:
    source = (
        "def f():\n    ip = get_ipython()\n    k = ip.kernel\n"
        "    same = ip.user_ns is ip.user_global_ns is k.user_ns is globals()\n"
        "    return k.engine_id, k.int_id, k.ident, k.engine_uuid, same, k.shell is ip\n"
    )
    assert engine.call_source(source) == (3, 3, "uuid-3", "uuid-3", True, True)


def test_pickle_finds_interactive_classes(engine: Engine) -> None:
    engine.execute("class C:\n    x = 5")
    source = "def f():\n    import pickle\n    return pickle.loads(pickle.dumps(C())).x"
    assert engine.call_source(source) == 5


@pytest.mark.parametrize(
    ("raised", "ename", "evalue"),
    [
        ("ValueError('bad')", "ValueError", "bad"),
        ("KeyboardInterrupt()", "KeyboardInterrupt", ""),
        ("SystemExit(3)", "SystemExit", "3"),
        ("SyntaxError('oops')", "SyntaxError", "oops"),
        ("BaseException('base')", "BaseException", "base"),
    ],
)
def test_whatever_is_raised_becomes_an_error_reply(
    engine: Engine, raised: str, ename: str, evalue: str
) -> None:
    reply = engine.call_source(f"def f(): raise {raised}")
    assert (reply["status"], reply["ename"], reply["evalue"]) == ("error", ename, evalue)
    assert reply["engine_info"] == {**INFO, "method": "apply"}
    assert ename in plain(reply["traceback"])
    (published,) = engine.take()
    assert (published.msg_type, published.topic) == ("error", "error")
    assert published.metadata == {"engine": "uuid-3"}
    assert published.content == {key: reply[key] for key in ("traceback", "ename", "evalue")}


def test_the_traceback_begins_with_the_users_function(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "user_code.py"
    file.write_text("def inner():\n    return 1 / 0\ndef f():\n    return inner()\n")
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    engine.execute("def inner(): return 1 / 0")
    engine.take()
    reply = engine.call(scope["f"])
    assert any(ANSI.search(line) for line in reply["traceback"]), "no colours"
    text = plain(reply["traceback"])
    assert "in f()" in text
    assert "return inner()" in text
    assert "ipyfleet" not in text


def test_an_exception_without_text_still_gives_a_reply(engine: Engine) -> None:
    reply = engine.call_source(
        "def f():\n    class E(Exception):\n"
        "        def __str__(self): raise RuntimeError('no')\n"
        "        __repr__ = __str__\n    raise E()"
    )
    assert reply["ename"] == "E"
    assert "RuntimeError" in reply["evalue"]
    assert reply["traceback"]
    assert all(isinstance(line, str) for line in reply["traceback"])


def test_an_exception_group_shows_its_members(engine: Engine) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("exception groups came with Python 3.11")
    reply = engine.call_source("def f(): raise ExceptionGroup('g', [ValueError('inner')])")
    assert reply["ename"] == "ExceptionGroup"
    assert "ValueError: inner" in plain(reply["traceback"])


def test_a_result_that_cannot_be_pickled_is_an_error(engine: Engine) -> None:
    reply = engine.call_source("def f():\n    import threading\n    return threading.Lock()")
    assert reply["ename"] == "TypeError"
    assert "pickle" in reply["evalue"]


@pytest.mark.parametrize("frames", [[], [b"x"], [b"not a pickle", b"neither"]])
def test_malformed_requests_are_error_replies(engine: Engine, frames: list[bytes]) -> None:
    assert engine.call_frames(frames)["status"] == "error"


def test_bad_buffers_are_named_as_clients_expect(engine: Engine) -> None:
    reply = engine.call_frames([b"x"])
    assert (reply["ename"], reply["evalue"]) == ("AssertionError", "not enough buffers!")


def test_an_unmet_dependency_is_reported_by_name(engine: Engine) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("def df(): return False\ndef f(): return 1", scope)
    reply = engine.call(canning.depend(scope["df"])(scope["f"]))
    assert reply["ename"] == "UnmetDependency"


def test_require_imports_and_defines(engine: Engine) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): return colorsys.__name__, value", scope)
    assert engine.call(canning.require("colorsys", value=b"v")(scope["f"])) == ("colorsys", b"v")
    reply = engine.call(canning.require("no_such_module")(scope["f"]))
    assert (reply["ename"], reply["evalue"]) == ("UnmetDependency", "no_such_module")


def test_push_and_pull_as_clients_send_them(engine: Engine) -> None:
    engine.call(compat._push, a=1, b=[2])
    assert (engine.ns["a"], engine.ns["b"]) == (1, [2])
    assert engine.call(compat._pull, ("a", "b[0]")) == [1, 2]
    assert engine.call(compat._map, abs, [-1, 2]) == [1, 2]


def test_a_bridge_that_fails_does_not_cost_the_reply(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(*args: Any) -> None:
        raise OSError("no socket")

    monkeypatch.setattr(engine.bridge, "publish", publish)
    reply = engine.call_source("def f(): raise ValueError('mine')")
    assert (reply["status"], reply["ename"], reply["traceback"]) == ("error", "ValueError", [])
    assert reply["evalue"] == "mine (OSError while reporting it)"
    assert reply["engine_info"] == {**INFO, "method": "apply"}


def test_the_frames_of_a_failed_call_are_released(engine: Engine) -> None:
    source = (
        "def f():\n    import weakref\n    class Big: pass\n    big = Big()\n"
        "    get_ipython().watched = weakref.ref(big)\n    1 / 0"
    )
    assert engine.call_source(source)["ename"] == "ZeroDivisionError"
    import gc

    gc.collect()
    assert engine.shell.watched() is None


# ---------------------------------------------------------------- execute


def test_messages_of_an_execution_come_in_order(engine: Engine) -> None:
    reply = engine.execute("print('hello')\n6 * 7")
    assert reply == {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []}
    messages = engine.take()
    assert [m.msg_type for m in messages] == ["execute_input", "stream", "stream", "execute_result"]
    assert messages[0].topic == "execute_input"
    assert messages[0].metadata == {"engine": "uuid-3"}
    assert messages[0].content == {"code": "print('hello')\n6 * 7", "execution_count": 1}
    assert messages[1].content["text"] + messages[2].content["text"] == "hello\n"
    assert messages[3].topic == "execute_result"
    assert messages[3].metadata == {"engine": "uuid-3"}
    assert messages[3].content == {
        "data": {"text/plain": "42"},
        "metadata": {},
        "execution_count": 1,
    }


def test_silent_code_shows_only_what_it_prints(engine: Engine) -> None:
    reply = engine.execute("print('x')\n1", silent=True)
    assert (reply["status"], reply["execution_count"]) == ("ok", 0)
    assert {m.msg_type for m in engine.take()} == {"stream"}
    assert engine.execute("1 / 0", silent=True)["ename"] == "ZeroDivisionError"
    assert [m.msg_type for m in engine.take()] == ["error"]
    assert engine.execute("1")["execution_count"] == 1


def test_the_counter_stands_still_without_history(engine: Engine) -> None:
    engine.execute("1", store_history=False)
    assert engine.execute("2")["execution_count"] == 1


@pytest.mark.parametrize(
    ("code", "ename", "evalue"),
    [
        ("1 / 0", "ZeroDivisionError", "division by zero"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("raise SystemExit(3)", "SystemExit", "3"),
        ("def (", "SyntaxError", None),
        ("  x\n y", "IndentationError", None),
        ("%no_such_magic", "UsageError", None),
        ("input()", "StdinNotImplementedError", None),
        ("import getpass; getpass.getpass()", "StdinNotImplementedError", None),
    ],
)
@pytest.mark.filterwarnings("ignore:To exit")
def test_errors_of_executed_code(engine: Engine, code: str, ename: str, evalue: str | None) -> None:
    reply = engine.execute(code)
    assert (reply["status"], reply["ename"]) == ("error", ename)
    assert evalue is None or reply["evalue"] == evalue
    assert reply["engine_info"] == {**INFO, "method": "execute"}
    assert reply["execution_count"] == 1
    assert (reply["user_expressions"], reply["payload"]) == ({}, [])
    assert plain(reply["traceback"])
    (published,) = engine.take("error")
    assert "engine_info" not in published.content
    assert published.content["ename"] == ename
    assert engine.execute("1")["status"] == "ok"


def test_a_request_without_code_is_an_error_reply(engine: Engine) -> None:
    assert json.loads(engine.host.execute("m", "{}"))["ename"] == "KeyError"
    assert json.loads(engine.host.execute("m", "not json"))["status"] == "error"


def test_a_value_that_cannot_be_shown_is_an_error(engine: Engine) -> None:
    reply = engine.execute("class R:\n    def __repr__(self): raise ValueError('no repr')\nR()")
    assert (reply["status"], reply["ename"]) == ("error", "ValueError")
    assert engine.execute("1")["status"] == "ok"


def test_user_expressions_are_evaluated_after_success(engine: Engine) -> None:
    reply = engine.execute("x = 3", user_expressions={"a": "x + 1", "b": "nope"})
    assert reply["user_expressions"]["a"]["data"] == {"text/plain": "4"}
    assert reply["user_expressions"]["b"]["status"] == "error"


def test_the_pager_becomes_a_payload(engine: Engine) -> None:
    (page,) = engine.execute("print?")["payload"]
    assert page["source"] == "page"
    assert "print" in page["data"]["text/plain"]
    assert engine.execute("1")["payload"] == []


def test_top_level_await_and_tasks_left_behind(engine: Engine) -> None:
    assert engine.host.wants_idle is False
    code = (
        "import asyncio\nasync def later():\n    await asyncio.sleep(0)\n"
        "    await asyncio.sleep(0)\n    done.append(1)\ndone = []\n"
        "t = asyncio.ensure_future(later())\nawait asyncio.sleep(0)\n'end'"
    )
    assert engine.execute(code)["status"] == "ok"
    assert engine.host.wants_idle is True
    assert engine.ns["done"] == []
    engine.host.do_one_idle()
    assert engine.ns["done"] == [1]
    assert engine.host.wants_idle is False


def test_timers_keep_the_loop_wanted(engine: Engine) -> None:
    code = "import asyncio\nawait asyncio.sleep(0)\n"
    engine.execute(f"{code}asyncio.get_running_loop().call_later(0.05, print, 'tick')")
    assert engine.host.wants_idle is True
    import time

    time.sleep(0.06)
    engine.host.do_one_idle()
    assert engine.bridge.text() == "tick\n"
    assert engine.host.wants_idle is False


def test_an_exit_in_a_task_does_not_end_the_engine(engine: Engine) -> None:
    code = (
        "import asyncio, sys\nawait asyncio.sleep(0)\n"
        "h = asyncio.get_running_loop().call_soon(lambda: sys.exit(1))"
    )
    engine.execute(code)
    engine.host.do_one_idle()
    assert engine.execute("1")["status"] == "ok"


def test_helpers_that_start_coroutines_get_a_running_loop(engine: Engine) -> None:
    scope: dict[str, Any] = {"__name__": "ipyparallel.util"}
    exec("def become_dask_worker(): return asyncio.get_running_loop().is_running()", scope)
    assert engine.call(scope["become_dask_worker"]) is True


def test_magics_and_shell_commands_run(engine: Engine) -> None:
    assert engine.execute("%store\n%lsmagic\n!echo from-a-process")["status"] == "ok"
    assert "from-a-process" in engine.bridge.text()


def test_exit_is_noted_for_the_host(engine: Engine) -> None:
    assert engine.host.exit_requested is False
    assert engine.execute("exit()")["payload"][0]["source"] == "ask_exit"
    assert engine.host.exit_requested is True


def test_clear_empties_the_namespace_and_keeps_the_shell_usable(engine: Engine) -> None:
    engine.execute("x = 1")
    engine.host.clear()
    assert "x" not in engine.ns
    assert engine.call_source("def f(): return get_ipython().kernel.engine_id") == 3
    assert engine.execute("1")["execution_count"] == 2


def test_colours_can_be_switched_off(make_engine: Any) -> None:
    engine = make_engine(traits={"InteractiveShell": {"colors": "nocolor"}})
    assert not ANSI.search("\n".join(engine.execute("1 / 0")["traceback"]))


# ---------------------------------------------------------------- display and data


def test_display_sends_data_metadata_and_transient(engine: Engine) -> None:
    code = (
        "from IPython.display import display, clear_output\n"
        "h = display({'text/plain': 'one'}, raw=True, metadata={'m': 1}, display_id='d')\n"
        "h.update({'text/plain': 'two'}, raw=True)\nclear_output(wait=True)"
    )
    assert engine.execute(code)["status"] == "ok"
    shown = engine.take("display_data", "update_display_data", "clear_output")
    assert [m.topic for m in shown] == ["displaypub"] * 3
    assert [m.metadata for m in shown] == [{"engine": "uuid-3"}] * 3
    transient = {"display_id": "d"}
    assert shown[0].content == {
        "data": {"text/plain": "one"},
        "metadata": {"m": 1},
        "transient": transient,
    }
    assert shown[1].msg_type == "update_display_data"
    assert shown[1].content["transient"] == transient
    assert shown[2].content == {"wait": True}


def test_display_works_in_applied_functions(engine: Engine) -> None:
    engine.call_source("def f():\n    from IPython.display import display\n    display({'a': 1})")
    (message,) = engine.take()
    assert message.content["data"] == {"text/plain": "{'a': 1}"}


def test_binary_and_odd_values_become_json(engine: Engine) -> None:
    code = (
        "from IPython.display import publish_display_data as p\n"
        "p({'image/png': b'\\x89PNG', 'application/json': {'n': float('nan'), 's': {1}, 2: 'k'}})"
    )
    assert engine.execute(code)["status"] == "ok"
    data = engine.take("display_data")[0].content["data"]
    assert data["image/png"] == base64.b64encode(b"\x89PNG").decode()
    assert data["application/json"] == {"n": "nan", "s": [1], "2": "k"}


def test_lone_surrogates_do_not_stop_a_message(engine: Engine) -> None:
    assert engine.execute("print('a\\ud800b')\n'\\ud800'")["status"] == "ok"
    assert engine.bridge.text() == "a?b\n"


def test_published_data_carries_objects(engine: Engine) -> None:
    blob = b"z" * 3000
    source = (
        "def f(b):\n    from ipyparallel.datapub import publish_data\n"
        "    publish_data({'blob': b, 'n': 1})"
    )
    engine.call_source(source, blob)
    (message,) = engine.take()
    assert (message.msg_type, message.topic) == ("data_message", "datapub")
    assert message.content == {"keys": ["blob", "n"]}
    assert deserialize_object(message.buffers)[0] == {"blob": blob, "n": 1}


# ---------------------------------------------------------------- streams


def test_streams_behave_like_text_files(engine: Engine) -> None:
    engine.attach()
    out = sys.stdout
    assert isinstance(out, io.TextIOBase)
    assert (out.write("abc"), out.isatty(), out.fileno(), out.encoding) == (3, False, 1, "utf-8")
    assert (sys.stderr.fileno(), sys.stderr.writable()) == (2, True)
    out.writelines(["d", "e"])
    out.buffer.write(b"bytes")
    print("err", file=sys.stderr)
    out.close()
    out.write("!")
    out.flush()
    assert engine.bridge.text() == "abcdebytes!"
    assert engine.bridge.text("stderr") == "err\n"
    assert engine.bridge.flushes > 0


@pytest.mark.parametrize("value", [b"bytes", 5, None])
def test_only_text_can_be_written(engine: Engine, value: Any) -> None:
    engine.attach()
    with pytest.raises(TypeError, match="must be str"):
        sys.stdout.write(value)


def test_other_threads_can_print(engine: Engine) -> None:
    engine.attach()
    threads = [threading.Thread(target=sys.stdout.write, args=("t",)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.bridge.text() == "ttttt"


def test_the_display_hook_is_installed(engine: Engine) -> None:
    engine.call_source("def f():\n    exec(compile('40 + 2', '<s>', 'single'))")
    (message,) = engine.take()
    assert message.content["data"] == {"text/plain": "42"}


# ---------------------------------------------------------------- start


def test_startup_code_runs_in_order(
    make_engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rc", "script"):
        (tmp_path / f"{name}.py").write_text(f"seen = globals().get('seen', []) + ['{name}']\n")
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "rc.py"))
    engine = make_engine(
        startup_script=str(tmp_path / "script.py"),
        exec_lines=["seen.append('line')"],
        startup_command="seen.append('command')",
    )
    assert engine.ns["seen"] == ["rc", "script", "line", "command"]
    assert "__file__" not in engine.ns
    assert engine.execute("1")["execution_count"] == 1


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"startup_command": "1 / 0"}, "ZeroDivisionError"),
        ({"startup_script": "/no/such/file.py"}, "startup file not found: /no/such/file.py"),
    ],
)
def test_failing_startup_code_is_logged_and_the_engine_lives(
    make_engine: Any, capfd: pytest.CaptureFixture[str], config: dict[str, str], text: str
) -> None:
    engine = make_engine(**config)
    assert text in ANSI.sub("", capfd.readouterr().err)
    assert engine.execute("1")["status"] == "ok"


def test_mpi_that_does_not_come_up_is_fatal(
    make_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match="mpi4py"):
        make_engine(use_mpi=True)
    engine_shell.EngineInteractiveShell.clear_instance()


def run_engine(source: str, **kwargs: Any) -> str:
    """Run an engine in a process of its own and return what reaches its stdout."""
    program = (
        "import json, os, sys\nfrom fake_bridge import FakeBridge\nbridge = FakeBridge()\n"
        "from ipyfleet.engine import shell\n"
        f"engine = shell.start(bridge)\n{source}\n"
    )
    path = os.pathsep.join([str(HERE), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, **kwargs}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_forked_child_does_not_use_the_bridge(tmp_path: Path) -> None:
    source = (
        "pid = os.fork()\n"
        "print('child' if pid == 0 else 'parent')\n"
        "if pid == 0:\n"
        "    from IPython.display import display\n    display('shown')\n"
        "    os._exit(len(bridge.messages))\n"
        "status = os.waitpid(pid, 0)[1]\n"
        "os.write(1, f'{status} {bridge.text()!r}'.encode())"
    )
    assert run_engine(source, IPYTHONDIR=str(tmp_path)) == "child\n'shown'\n0 'parent\\n'"


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ("import asyncio\nawait asyncio.sleep(30)", "CancelledError"),
        ("import time\ntime.sleep(30)", "KeyboardInterrupt"),
    ],
)
def test_an_interrupt_ends_running_code_and_nothing_else(
    tmp_path: Path, code: str, ename: str
) -> None:
    source = (
        "import signal, threading, time\nbegin = time.monotonic()\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        f"reply = json.loads(engine.execute('m', json.dumps({{'code': {code!r}}})))\n"
        "again = json.loads(engine.execute('m', json.dumps({'code': 'await asyncio.sleep(0)'})))\n"
        "result = [reply['ename'], engine.wants_idle, time.monotonic() - begin < 10]\n"
        "os.write(1, json.dumps(result).encode())"
    )
    assert json.loads(run_engine(source, IPYTHONDIR=str(tmp_path))) == [ename, False, True]


def test_an_engine_starts_lean(tmp_path: Path) -> None:
    heavy = ["numpy", "zmq", "ipyparallel"]
    if IPython.version_info >= (9, 18):  # older releases import all of these themselves
        heavy += ["asyncio", "jedi", "sqlite3", "prompt_toolkit"]
    source = (
        f"found = [name for name in {heavy} if name in sys.modules]\n"
        "rss = int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
        "os.write(1, json.dumps([found, rss // 2**20]).encode())"
    )
    found, megabytes = json.loads(run_engine(source, IPYTHONDIR=str(tmp_path)))
    assert found == []
    assert megabytes < 60
