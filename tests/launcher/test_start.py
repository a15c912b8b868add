"""ipcluster start: what is started and how, log lines, files, readiness."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import time

import pytest

from .harness import Sandbox, alive, bin_dir, wait_until


def test_daemonize_returns_when_all_engines_are_registered(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "slow@1=0.5"
    done = sandbox.start("-n", "3")
    assert "3 of 3 engines registered" in done.stdout
    assert re.search(r"^[0-2] of 3 engines registered$", done.stdout, re.MULTILINE)
    assert "import ipyfleet as ipp" in done.stdout
    assert f'rc = ipp.Client(profile_dir="{sandbox.profile}")' in done.stdout
    assert len(sandbox.engine_pids()) == 3
    assert all(alive(pid) for pid in sandbox.engine_pids().values())
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()


def test_log_lines_of_the_documentation(sandbox: Sandbox) -> None:
    process = sandbox.foreground_ready("-n", "4")
    text = sandbox.output.read_text()
    stamp = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[IPClusterStart\] "
    pid_file = re.escape(str(sandbox.profile / "pid" / "ipcluster.pid"))
    for line in (
        r"Starting ipcluster with \[daemonize=False\]",
        f"Creating pid file: {pid_file}",
        "Starting Controller with LocalControllerLauncher",
        "Starting 4 Engines with LocalEngineSetLauncher",
    ):
        assert re.search(f"{stamp}{line}$", text, re.MULTILINE), line
    assert (sandbox.profile / "pid" / "ipcluster.pid").read_text() == f"{process.pid}\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    sandbox.assert_nothing_left()


def test_children_get_a_clean_start(sandbox: Sandbox) -> None:
    sandbox.env["IPP_CONNECTION_INFO"] = "the connection of another cluster"
    with (sandbox.root / "open").open("w") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        subprocess.run(
            sandbox.argv("start", "--daemonize", "-n", "2", "--cluster-id=x", "--", "--scheme=lru"),
            env=sandbox.env,
            cwd=sandbox.root,
            pass_fds=[leaked.fileno()],
            check=True,
            capture_output=True,
        )
    (controller,) = sandbox.notes("controller")
    engines = sandbox.notes("engine")
    assert controller["argv"] == ["--scheme=lru"]
    assert len(engines) == 2
    for note in [controller, *engines]:
        environment = note["environment"]
        assert environment["IPP_CLUSTER_ID"] == "x"
        assert environment["IPP_PROFILE_DIR"] == str(sandbox.profile)
        assert "IPP_CONNECTION_INFO" not in environment
        assert "secret" not in str(note), "the signing key must not be in argv or environment"
        assert note["session"] == note["pid"]
        assert note["stdin"] == "/dev/null"
        assert set(note["descriptors"]) <= {0, 1, 2, 3}, "3 is the listing of /proc/self/fd itself"
        assert note["blocked"] == []
        assert note["cwd"] == str(sandbox.root)
    assert [note["argv"] for note in engines] == [[], []]
    assert sandbox.run("stop", "x").returncode == 0


def test_log_files_have_the_documented_names_and_are_private(sandbox: Sandbox) -> None:
    sandbox.start("-n", "2", "--cluster-id=x")
    info = sandbox.cluster("x")
    ((set_id, engine_set),) = info["engines"]["sets"].items()
    log = sandbox.profile / "log"
    owner = info["ipyfleet"]["ipcluster"]["pid"]
    assert info["controller"]["state"]["output_file"] == str(log / f"ipcontroller-x-{owner}.log")
    for number, engine in engine_set["engines"].items():
        assert engine["output_file"] == str(log / f"ipengine-x-{set_id}-{number}.log")
    assert abs(int(set_id) - time.time()) < 60
    assert sandbox.run("stop", "x").returncode == 0
    files = list(log.iterdir())
    assert len(files) == 4, "logs are kept: ipcluster, controller, two engines"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_cluster_file_is_private_and_complete(sandbox: Sandbox) -> None:
    sandbox.start("-n", "2", "--ip=127.0.0.1", "--location=here", "--", "--hwm=0")
    assert stat.S_IMODE(sandbox.cluster_file().stat().st_mode) == 0o600
    info = sandbox.cluster()
    assert info["cluster"] == {
        "class": "ipyparallel.cluster.cluster.Cluster",
        "cluster_id": "",
        "controller_args": ["--hwm=0"],
        "controller_ip": "127.0.0.1",
        "controller_location": "here",
        "delay": 0.0,
        "n": 2,
        "profile_dir": str(sandbox.profile),
    }
    assert info["controller"]["class"] == info["engines"]["class"] == "local"
    assert info["controller"]["state"]["state"] == "running"
    assert set(info["ipyfleet"]["start_ticks"]) == {
        str(pid) for pid in [sandbox.controller_pid(), *sandbox.engine_pids().values()]
    }
    (controller,) = sandbox.notes("controller")
    assert controller["argv"] == ["--hwm=0", "--ip=127.0.0.1", "--location=here"]
    assert sandbox.run("stop").returncode == 0


@pytest.mark.parametrize("spelling", [["-n", "2"], ["-n2"], ["--n=2"], ["--n", "2"]])
def test_spellings_of_n_without_a_subcommand(sandbox: Sandbox, spelling: list[str]) -> None:
    line = sandbox.argv("start", "--daemonize", *spelling)
    line.remove("start")
    done = subprocess.run(line, env=sandbox.env, check=True, capture_output=True, text=True)
    assert "2 of 2 engines registered" in done.stdout
    assert sandbox.run("stop").returncode == 0


def test_default_number_of_engines_is_the_number_of_cpus(sandbox: Sandbox) -> None:
    sandbox.start()
    assert len(sandbox.engine_pids()) == len(os.sched_getaffinity(0))
    assert sandbox.run("stop").returncode == 0


def test_second_start_is_refused_with_10(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1")
    before = sandbox.cluster()
    for args in (["--daemonize"], []):
        again = sandbox.run("start", "-n", "1", *args)
        assert again.returncode == 10
        assert "already running" in again.stderr
    assert sandbox.cluster() == before
    assert sandbox.run("stop").returncode == 0


def test_of_many_starts_at_once_exactly_one_wins(sandbox: Sandbox) -> None:
    starts = [
        subprocess.Popen(
            sandbox.argv("start", "--daemonize", "-n", "1"),
            env=sandbox.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(6)
    ]
    codes = sorted(start.wait(60) for start in starts)
    assert codes == [0, 10, 10, 10, 10, 10]
    assert sandbox.run("stop").returncode == 0
    sandbox.assert_nothing_left()


def test_clusters_with_different_ids_live_side_by_side(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1", "--cluster-id=a")
    done = sandbox.start("-n", "1", "--cluster-id=b")
    assert 'cluster_id="b"' in done.stdout
    assert sandbox.run("stop", "a").returncode == 0
    assert all(alive(pid) for pid in sandbox.engine_pids("b").values())
    assert sandbox.run("stop", "--all").returncode == 0
    sandbox.assert_nothing_left()


def test_usr_signals_go_on_to_the_engines(sandbox: Sandbox) -> None:
    process = sandbox.foreground_ready("-n", "2")
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        process.send_signal(number)
        for engine in range(2):
            got = sandbox.profile / f"engine-{engine}-got-{int(number)}"
            wait_until(got.exists, f"engine {engine} got {number!r}")
    assert process.poll() is None
    process.terminate()
    assert process.wait(10) == 0


def test_engines_start_at_once_and_delay_is_zero_by_default(sandbox: Sandbox) -> None:
    sandbox.env["FAKE_ENGINE"] = "slow=0.6"
    begin = time.monotonic()
    sandbox.start("-n", "8")
    assert time.monotonic() - begin < 0.6 * 4, "eight engines waited in parallel"
    assert sandbox.run("stop").returncode == 0


def test_delay_is_kept(sandbox: Sandbox) -> None:
    begin = time.monotonic()
    sandbox.start("-n", "1", "--delay=0.7")
    assert time.monotonic() - begin >= 0.7
    assert sandbox.run("stop").returncode == 0


def test_clean_logs_removes_logs_of_this_cluster_only(sandbox: Sandbox) -> None:
    sandbox.start("-n", "1", "--cluster-id=other")
    assert sandbox.run("stop", "other").returncode == 0
    sandbox.start("-n", "1")
    assert sandbox.run("stop").returncode == 0
    logs = list((sandbox.profile / "log").iterdir())
    assert len(logs) == 6
    for file in logs:
        file.write_text("old")
    sandbox.start("-n", "1", "--clean-logs")
    assert sandbox.run("stop").returncode == 0
    after = {file.name: file.read_text() for file in (sandbox.profile / "log").iterdir()}
    assert len(after) == 6
    kept = {name for name, text in after.items() if text.startswith("old")}
    assert kept == {file.name for file in logs if "other" in file.name}


def test_starts_in_the_same_second_do_not_share_logs(sandbox: Sandbox) -> None:
    for _ in range(3):
        sandbox.start("-n", "1")
        assert sandbox.run("stop").returncode == 0
    engine_logs = list((sandbox.profile / "log").glob("ipengine-*.log"))
    assert len(engine_logs) == 3
    assert all(log.read_text().count("Completed registration") == 1 for log in engine_logs)


def test_work_dir(sandbox: Sandbox) -> None:
    (sandbox.root / "work").mkdir()
    sandbox.start("-n", "1", "--work-dir=work")
    (engine,) = sandbox.notes("engine")
    assert engine["cwd"] == str(sandbox.root / "work")
    assert sandbox.run("stop").returncode == 0


def test_help_and_version() -> None:
    ipcluster = str(bin_dir() / "ipcluster")
    for args in (["--help"], ["start", "--help"], ["stop", "-h"], ["list", "--help"]):
        shown = subprocess.run([ipcluster, *args], check=True, capture_output=True, text=True)
        assert "Examples:" in shown.stdout
        assert shown.stderr == ""
    version = subprocess.run([ipcluster, "--version"], check=True, capture_output=True, text=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", version.stdout)
    bare = subprocess.run([ipcluster], check=False, capture_output=True, text=True)
    assert bare.returncode == 1
    assert "Subcommands:" in bare.stderr
