"""Configuration files and traits: the table, the translation, and the programs that use it."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import ipyfleet as ipp
import pytest
from ipyfleet.config.__main__ import answer
from ipyfleet.config.load import ConfigError, load_config
from ipyfleet.config.table import BASES, DEPRECATED, MEANINGS, PASSED_ON, Nothing, Only
from ipyfleet.config.translate import translate
from traitlets.config import Config

peer: Any = pytest.importorskip("ipyparallel")

PROGRAMS = ("ipcontroller", "ipengine", "ipcluster")
APPS = {
    "ipyparallel.controller.app": ("IPController",),
    "ipyparallel.engine.app": ("IPEngine",),
    "ipyparallel.cluster.app": (
        *("IPCluster", "IPClusterStart", "IPClusterStop", "IPClusterEngines"),
        *("IPClusterList", "IPClusterClean"),
    ),
}


def run(
    program: str, *arguments: str, profile: Path, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    directory = Path(os.environ.get("IPF_BIN_DIR") or Path(sys.executable).parent)
    return subprocess.run(
        [str(directory / program), *arguments, f"--profile-dir={profile}"],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=profile.parent,
    )


def ask(program: str, *arguments: str, profile: Path | str = "") -> dict[str, Any]:
    return answer({"program": program, "profile_dir": str(profile), "arguments": list(arguments)})


# ---- the table ----------------------------------------------------------------------------------


def _peer_classes() -> list[Any]:
    found: dict[str, Any] = {}
    for module, names in APPS.items():
        for name in names:
            app = getattr(importlib.import_module(module), name)()
            for cls in (*type(app).__mro__, *app.classes):
                if hasattr(cls, "class_own_traits"):
                    found[cls.__name__] = cls
    return list(found.values())


def test_every_trait_of_ipyparallel_is_in_the_table() -> None:
    missing = [
        f"{cls.__name__}.{trait}"
        for cls in _peer_classes()
        for trait in cls.class_own_traits(config=True)
        if not cls.__name__.endswith("Launcher")
        and cls.__name__ not in PASSED_ON
        and f"{cls.__name__}.{trait}" not in MEANINGS
    ]
    assert missing == []


def test_every_old_name_of_ipyparallel_is_in_the_table() -> None:
    for module, names in APPS.items():
        for name in names:
            for old in getattr(importlib.import_module(module), name)._deprecated_classes or ():
                assert DEPRECATED[old] == name


def test_every_option_of_the_table_exists(tmp_path: Path) -> None:
    texts = {each: run(each, "--help", profile=tmp_path).stdout for each in PROGRAMS[:2]}
    texts["ipcluster"] = "".join(
        run("ipcluster", sub, "--help", profile=tmp_path).stdout
        for sub in ("start", "stop", "list")
    )
    of_program = {
        **dict.fromkeys(("IPController", "HeartMonitor", "TaskScheduler"), "ipcontroller"),
        **dict.fromkeys(("DictDB", "SQLiteDB", "MongoDB"), "ipcontroller"),
        "IPEngine": "ipengine",
        "Cluster": "ipcluster",
        "IPClusterStart": "ipcluster",
        "IPClusterStop": "ipcluster",
        "IPClusterList": "ipcluster",
    }
    absent = [
        f"{name}: {meaning.name}"
        for name, meaning in MEANINGS.items()
        if hasattr(meaning, "name")
        and (program := of_program.get(name.partition(".")[0]))
        and not meaning.name.startswith("--IPEngine.")
        and meaning.name not in texts[program]
    ]
    assert absent == [], "options that the programs do not have"
    for program, text in texts.items():
        for option in ("--log-level", "--cluster-id", "--work-dir"):
            assert option in text, program


def test_what_has_no_meaning_has_a_reason() -> None:
    for name, meaning in MEANINGS.items():
        if isinstance(meaning, Nothing | Only) and name != "Cluster.controller_args":
            assert len(meaning.why) > 10, name
    assert {*BASES.values()} <= {key.partition(".")[0] for key in MEANINGS} | {*BASES}


# ---- the translation ----------------------------------------------------------------------------


def test_files_of_today_and_of_long_ago() -> None:
    c = Config()
    c.HubFactory.ip = "*"
    c.IPControllerApp.reuse_files = True
    c.TaskScheduler.scheme_name = "lru"
    c.IPController.ports = [10101, "10103-10105"]
    c.IPController.mux = (7, 8)
    c.IPController.use_threads = False
    c.Session.key = b"secret"
    c.IPController.db_class = "IPython.parallel.controller.sqlitedb.SQLiteDB"
    c.IPController.log_level = 10
    found = translate("ipcontroller", c)
    assert {*found.arguments} == {
        *("--ip=*", "--reuse", "--scheme=lru", "--ports=10101,10103-10105,7,8"),
        *("--db=IPython.parallel.controller.sqlitedb.SQLiteDB", "--log-level=10"),
    }
    assert found.environment == {"IPP_SESSION_KEY": "secret"}
    assert found.notes == [
        "c.HubFactory.ip is an old name; use c.IPController.ip",
        "c.IPControllerApp.reuse_files is an old name; use c.IPController.reuse_files",
    ]


def test_what_cannot_be_had_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"IPController.transport = 'ipc' .*: sockets are TCP"):
        translate("ipcontroller", Config({"IPController": {"transport": "ipc"}}))
    with pytest.raises(ConfigError, match="'x' is no port"):
        translate("ipcontroller", Config({"IPController": {"ports": ["x"]}}))
    with pytest.raises(ConfigError, match="must be True or False, not 'maybe'"):
        translate("ipcontroller", Config({"IPController": {"reuse_files": "maybe"}}))


def test_unknown_traits_are_one_warning() -> None:
    c = Config()
    c.IPController.prots = "1"
    c.IPContoller.ip = "x"
    c.SlurmLauncher.acount = "x"
    c.SomebodyElse.trait = 1
    (note,) = translate("ipcontroller", c).notes
    assert note == (
        "nothing is known of c.IPController.prots (ports?), c.IPContoller (c.IPController?),"
        " c.SlurmLauncher.acount (account?)"
    )


def test_engine_hands_traits_of_ipython_on(tmp_path: Path) -> None:
    (tmp_path / "ipengine_config.py").write_text(
        "c = get_config()\nc.IPEngine.timeout = 7\n"
        "c.InteractiveShell.ast_node_interactivity = 'all'\n"
        "c.IPEngine.use_mpi = True\nc.EngineFactory.url = 'tcp://h:1'\n"
    )
    reply = ask("ipengine", "--timeout=9", profile=tmp_path)
    assert reply["arguments"][-1] == "--timeout=9", "the command line counts more"
    assert {*reply["arguments"]} == {
        *("--timeout=7", "--mpi", "--url=tcp://h:1", "--timeout=9"),
        "--InteractiveShell.ast_node_interactivity=all",
    }


def test_ipcluster_gets_settings_of_its_launchers(tmp_path: Path) -> None:
    (tmp_path / "ipcluster_config.py").write_text(
        "c = get_config()\n"
        "c.IPClusterEngines.engine_launcher_class = 'Slurm'\n"
        "c.IPClusterStart.n = 3\n"
        "c.Cluster.controller_args = ['--scheme=lru']\n"
        "c.SlurmLauncher.account = 'physics'\n"
        "c.EngineLauncher.engine_args = ['--debug']\n"
        "c.BatchSystemLauncher.queue = 'long'\n"
    )
    reply = ask("ipcluster", "-n", "5", "--", "--hwm=0", profile=tmp_path)
    assert reply["arguments"] == [
        *("start", "--engines=Slurm", "-n=3", "-n", "5", "--", "--scheme=lru", "--hwm=0")
    ]
    assert reply["engine_settings"] == {
        "account": "physics",
        "queue": "long",
        "engine_args": ["--debug"],
    }
    assert reply["controller_settings"] == {}
    assert ask("ipcluster", "stop", profile=tmp_path)["arguments"] == ["stop"]
    assert (
        "no engine launcher 'x'"
        in ask("ipcluster", "start", "--engines=x", profile=tmp_path)["error"]
    )


def test_json_file_and_the_order_of_files(tmp_path: Path) -> None:
    (tmp_path / "ipcontroller_config.py").write_text(
        "c.TaskScheduler.hwm = 2\nc.IPController.ip = 'a'"
    )
    (tmp_path / "ipcontroller_config.json").write_text('{"TaskScheduler": {"hwm": 3}}')
    assert {*ask("ipcontroller", profile=tmp_path)["arguments"]} == {"--hwm=3", "--ip=a"}
    (tmp_path / "ipcontroller_config.json").write_text('{"TaskScheduler":\n {"hwm": }}')
    assert "ipcontroller_config.json, line 2: " in ask("ipcontroller", profile=tmp_path)["error"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nc.x.y = (", "line 2: SyntaxError: '(' was never closed"),
        ("x = 1\nimport no_such_module", "line 2: ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "line 1: SystemExit: 3"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "ipcontroller_config.py").write_text(text)
    assert (
        f"{tmp_path}/ipcontroller_config.py, {told}"
        in ask("ipcontroller", profile=tmp_path)["error"]
    )


def test_cluster_reads_its_profile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ipcluster_config.py").write_text(
        "c.Cluster.n = 3\nc.IPClusterStart.delay = 0.5\nc.Cluster.engine_launcher_class = 'Slurm'\n"
        "c.Cluster.tpyo = 1\n"
    )
    with caplog.at_level(logging.WARNING):
        cluster = ipp.Cluster(profile_dir=str(tmp_path))
    assert (cluster.n, cluster.delay) == (3, 0.5)
    assert cluster.engine_launcher_class.__name__ == "SlurmEngineSetLauncher"
    assert "c.IPClusterStart.delay is an old name; use c.Cluster.delay" in caplog.text
    assert "nothing is known of c.Cluster.tpyo" in caplog.text
    assert ipp.Cluster(profile_dir=str(tmp_path), n=1).n == 1
    assert ipp.Cluster(profile_dir=str(tmp_path), load_profile=False).n is None
    (tmp_path / "ipcluster_config.py").write_text("c.Cluster.n = ")
    with pytest.raises(ConfigError, match="line 1: SyntaxError"):
        load_config("ipcluster", str(tmp_path))


# ---- the programs -------------------------------------------------------------------------------


def test_programs_name_the_file_and_the_line(tmp_path: Path) -> None:
    profile = tmp_path / "p"
    profile.mkdir()
    for program, arguments in (("ipcontroller", []), ("ipengine", []), ("ipcluster", ["start"])):
        (profile / f"{program}_config.py").write_text("c.A.b = 1\nc.")
        done = run(program, *arguments, profile=profile)
        assert done.returncode == 2, done
        assert done.stderr.startswith(
            f"{program}: {profile}/{program}_config.py, line 2: SyntaxError: "
        )
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr


def test_show_config_and_help_all(tmp_path: Path) -> None:
    profile = tmp_path / "p"
    profile.mkdir()
    (profile / "ipcontroller_config.py").write_text(
        "c.HubFactory.ip = 'h'\nc.Session.key = b'kkk'\n"
    )
    done = run("ipcontroller", "--show-config", "--TaskScheduler.hwm=3", profile=profile)
    assert done.stdout.splitlines() == [
        f"# {profile}/ipcontroller_config.py",
        "c.IPController.ip = 'h'",
        "c.Session.key = (hidden)",
        "c.TaskScheduler.hwm = 3",
    ]
    shown = json.loads(run("ipcontroller", "--show-config-json", profile=profile).stdout)
    assert shown == {"IPController": {"ip": "h"}, "Session": {"key": "(hidden)"}}
    for program in PROGRAMS:
        text = run(program, "--help-all", profile=profile).stdout
        assert "--BaseParallelApplication.work_dir=<value>\n    --work-dir=..." in text
    assert "--SlurmLauncher.account=<value>\n    The account." in text


def test_files_that_ipython_makes_are_read(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "IPython", "profile", "create", "--parallel", "x"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"IPYTHONDIR": str(tmp_path)},
    )
    assert made.returncode == 0, made.stderr
    profile = tmp_path / "profile_x"
    for program in PROGRAMS:
        shown = run(program, "--show-config", profile=profile).stdout
        assert shown == f"# {profile}/{program}_config.py\n", "everything in it is a comment"


def test_a_profile_is_made_without_ipyparallel(tmp_path: Path) -> None:
    (tmp_path / "ipyparallel.py").write_text("raise ImportError('not here')\n")
    environment = os.environ | {"IPYTHONDIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}

    def create(*options: str) -> None:
        made = subprocess.run(
            [sys.executable, "-m", "ipyfleet.profile", "create", *options, "x"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env=environment,
        )
        assert made.returncode == 0, made.stderr

    create()
    profile = tmp_path / "profile_x"
    assert (profile / "ipython_config.py").exists()
    for program in PROGRAMS:
        file = profile / f"{program}_config.py"
        shown = run(program, "--show-config", profile=profile).stdout
        assert shown == f"# {file}\n", "everything in it is a comment"
        # Each trait that it names can be set.
        text = re.sub(r"^# (c\.\w+\.\w+) = \.\.\.$", r"\1", file.read_text(), flags=re.MULTILINE)
        assert len(re.findall(r"^c\.\w+\.\w+$", text, re.MULTILINE)) > 10
        compile(text, str(file), "exec")
    own = profile / "ipengine_config.py"
    own.write_text("c.IPEngine.timeout = 7\n")
    create()
    assert own.read_text() == "c.IPEngine.timeout = 7\n"
    create("--reset")
    assert own.read_text().startswith("# Configuration of ipengine")


def test_nothing_is_read_from_the_current_directory(tmp_path: Path) -> None:
    profile = tmp_path / "p"
    profile.mkdir()
    for name in ("ipcontroller_config.py", "ipyfleet.py", "traitlets.py", "runpy.py"):
        (tmp_path / name).write_text("raise SystemExit('read from the current directory')")
    (profile / "ipcontroller_config.json").write_text('{"TaskScheduler": {"scheme_name": "bogus"}}')
    done = run("ipcontroller", profile=profile)
    assert done.returncode == 2
    assert "scheme 'bogus' is none of" in done.stderr, "the profile's file is read"
    (profile / "ipcontroller_config.json").unlink()
    done = run("ipcontroller", "--scheme=bogus", profile=profile)
    assert "scheme 'bogus' is none of" in done.stderr
    asked = run("ipcontroller", f"--config={tmp_path}/ipcontroller_config.py", profile=profile)
    assert "read from the current directory" in asked.stderr, "asked for"


def test_command_line_traits(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    done = run("ipcontroller", "--HubFactory.ip=nowhere.invalid", profile=tmp_path / "p")
    assert "c.HubFactory.ip is an old name; use c.IPController.ip" in done.stderr
    assert "nowhere.invalid" in done.stderr.splitlines()[-1]
    done = run("ipcontroller", "--Nobody.trait=1", profile=tmp_path / "p")
    assert (done.returncode, done.stderr) == (
        2,
        "ipcontroller: unknown on the command line: c.Nobody (see --help-all)\n",
    )
    done = run("ipcontroller", "--no-config", "--Nobody.trait=1", profile=tmp_path / "p")
    assert done.returncode == 2


def test_a_file_that_hangs_is_given_up(tmp_path: Path) -> None:
    if "IPF_FULL" not in os.environ:
        pytest.skip("only with scripts/test --full: half a minute")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "ipcontroller_config.py").write_text("import time\ntime.sleep(300)\n")
    done = run("ipcontroller", profile=tmp_path / "p")
    assert done.returncode == 2
    assert "did not answer within 30 seconds" in done.stderr
