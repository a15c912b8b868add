"""`ipcluster doctor` on hosts and clusters with one thing wrong each."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from .harness import processes_of, wait_until
from .test_real_cluster import RealSandbox, real

__all__ = ["real"]  # the fixture

Check = dict[str, str]


def examine(box: RealSandbox, *args: str, status: int) -> list[Check]:
    """Run the doctor; its checks, and never a key."""
    done = box.run("doctor", "--json", *args)
    assert done.returncode == status, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    checks: list[Check] = report["checks"]
    assert report["ok"] == (status == 0)
    assert report["failed"] == sum(check["verdict"] == "FAIL" for check in checks)
    assert all(check["fix"] for check in checks if check["verdict"] != "ok"), "each has a fix"
    for file in (box.profile / "security").glob("ipcontroller*.json"):
        for key in re.findall(r'"key": "(.{8,})"', file.read_text()):
            assert key not in done.stdout
    return checks


def failed(checks: list[Check]) -> dict[str, str]:
    """What failed, with what was found."""
    return {check["check"]: check["detail"] for check in checks if check["verdict"] == "FAIL"}


def client_file(box: RealSandbox) -> Path:
    return box.profile / "security" / "ipcontroller-client.json"


def change(file: Path, **values: object) -> None:
    """Change members of a connection file."""
    content = json.loads(file.read_text())
    assert values.keys() <= content.keys()
    file.write_text(json.dumps(content | values))


def freeze(*pids: int) -> None:
    """Stop processes; the kernel may take its time."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    stats = [Path(f"/proc/{pid}/stat") for pid in pids]
    wait_until(
        lambda: all(stat.read_text().rpartition(") ")[2][0] == "T" for stat in stats), "stopped"
    )


def test_without_a_cluster(tmp_path: Path) -> None:
    box = RealSandbox(tmp_path)
    checks = examine(box, status=0)
    found = {check["check"]: check["detail"] for check in checks}
    assert "none runs" in found["cluster"]
    assert "IPython" in found["python"]
    assert found.keys() >= {"descriptors", "disk profile", "program", "host name"}
    assert not box.profile.exists(), "looking makes nothing"


def test_healthy_cluster(real: RealSandbox) -> None:
    real.start("-n", "2", "--cluster-id=x")
    other = {check["check"]: check["detail"] for check in examine(real, status=0)}
    assert "--cluster-id=x" in other["cluster"], "another one may be meant"
    assert real.run("stop", "x").returncode == 0
    real.start("-n", "2")
    done = real.run("doctor")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith("FAIL")]
    for part in (
        "client ports +7 answer",
        "engine ports +8 answer",
        "hub +connected in .* answers in",
        "engines +2 registered",
        r"engine 1 +control .*, call .*, .*:\d+, ipyfleet .*, Python 3",
        "output +of 2 engines arrives",
        "task scheduler +a call took",
        "broadcast +a call took",
        "clock .* differs by 0.0 s",
    ):
        assert [line for line in lines if re.match("ok +" + part, line)], part
    rc = real.client()
    rc[:].execute("left = sorted(globals().keys() & {'facts', 'marker', 'places'})", block=True)
    assert rc[:]["left"] == [[], []], "nothing is left in the engines"
    rc[0].apply_async(time.sleep, 600)
    wait_until(lambda: rc.queue_status(0)["queue"] == 1, "busy")
    busy = {check["check"]: check["detail"] for check in examine(real, status=0)}
    assert "has 1 calls to do" in busy["engine 0"]
    assert rc.queue_status(0)["queue"] == 1, "nothing was queued behind it"
    rc.close()
    real.run("stop")


def test_each_fault_of_a_connection_file_is_named(real: RealSandbox) -> None:
    real.start("-n", "1")
    good = client_file(real).read_text()

    client_file(real).chmod(0o644)
    checks = examine(real, status=1)
    assert failed(checks).keys() == {"client file"}
    assert "0644" in failed(checks)["client file"]
    assert next(c["fix"] for c in checks if c["check"] == "client file").startswith("chmod 600")
    client_file(real).chmod(0o600)

    change(client_file(real), key="0123456789abcdef0123456789abcdef")
    checks = examine(real, "--timeout=1", status=1)
    assert failed(checks).keys() == {"key", "hub"}
    assert "wrong signature" in next(c["fix"] for c in checks if c["check"] == "hub")

    client_file(real).write_text(good[: len(good) // 2])
    assert "client file" in failed(examine(real, status=1))

    client_file(real).write_text(good)
    change(client_file(real), location="no-such-host.invalid", interface="tcp://*")
    assert "no-such-host.invalid" in failed(examine(real, status=1))["client file"]

    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as foreign:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        client_file(real).write_text(good)
        change(client_file(real), mux=closed.getsockname()[1], task=foreign.getsockname()[1])
        found = failed(examine(real, "--timeout=1", status=1))
        assert "nobody listens" in found["port client mux"]
        assert "was silent" in found["port client task"]
    client_file(real).write_text(good)
    warned = [c for c in examine(real, status=0) if c["verdict"] == "warn"]
    assert [c["check"] for c in warned] == ["signatures"], "of the wrong key above"
    real.run("stop")


def test_stale_cluster_file(real: RealSandbox) -> None:
    real.start("-n", "1")
    owner = real.cluster()["ipyfleet"]["ipcluster"]["pid"]
    os.kill(owner, signal.SIGKILL)  # who would clean up
    os.kill(real.controller_pid(), signal.SIGKILL)
    found = wait_until(
        lambda: failed(examine(real, status=1)).get("cluster"), "the dead controller is seen"
    )
    assert "stale" in found
    found = failed(examine(real, status=1))
    assert "nobody listens" in found["port client registration"]
    assert "hub" not in found, "what explains the rest is told, the rest is not"
    real.run("stop")
    for pid in processes_of(real.profile):
        os.kill(pid, signal.SIGKILL)


def test_frozen_processes_are_named(real: RealSandbox) -> None:
    real.start("-n", "2")
    rc = real.client()
    engine = rc[1].apply_sync(os.getpid)
    rc.close()
    nanny = real.engine_pids()[1]
    freeze(engine, nanny)
    try:
        checks = examine(real, "--timeout=1.5", status=1)
        assert "does not answer on the control channel" in failed(checks)["engine 1"]
        stopped = {c["fix"] for c in checks if c["check"] == "process"}
        assert stopped == {f"kill -CONT {engine}", f"kill -CONT {nanny}"}
        by_name = {check["check"]: check["verdict"] for check in checks}
        assert by_name["engine 0"] == "ok"
        assert by_name["task scheduler"] == "ok", "only those are called that answer"
    finally:
        for pid in (engine, nanny):
            os.kill(pid, signal.SIGCONT)
    controller = real.controller_pid()
    freeze(controller)
    try:
        checks = examine(real, "--timeout=0.5", status=1)
        assert f"kill -CONT {controller}" in {c["fix"] for c in checks}
        assert "was silent" in failed(checks)["port client mux"]
    finally:
        os.kill(controller, signal.SIGCONT)
    real.run("stop")


def test_missing_engines_are_counted_and_their_logs_shown(real: RealSandbox) -> None:
    real.start("-n", "2", "--restart=never")
    os.kill(real.engine_pids()[0], signal.SIGTERM)

    def missing() -> list[Check]:
        checks: list[Check] = json.loads(real.run("doctor", "--json").stdout)["checks"]
        return checks if "engines" in failed(checks) else []

    checks = wait_until(missing, "one is missing")
    assert failed(checks)["engines"].startswith("1 registered of 2")
    (log,) = [check for check in checks if check["check"] == "engine log"]
    assert "terminated by a signal" in log["detail"]
    assert log["fix"].endswith("-0.log")
    real.run("stop")


def test_low_limit_of_open_files(tmp_path: Path) -> None:
    box = RealSandbox(tmp_path)
    done = subprocess.run(
        box.argv("doctor"),
        env=box.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^FAIL  descriptors +at most 64 open files", done.stdout, re.MULTILINE)
    assert "      fix: raise the hard limit" in done.stdout


def test_commands_of_a_launcher(tmp_path: Path) -> None:
    box = RealSandbox(tmp_path)
    box.env["PATH"] = str(tmp_path)
    checks = examine(box, "--engines=LSF", status=1)
    missing = [c["detail"] for c in checks if c["check"] == "launcher lsf"]
    assert missing == [f"{name} is not on PATH" for name in ("bsub", "bjobs", "bkill")]
    for name in ("bsub", "bjobs", "bkill"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    found = {c["check"]: c["verdict"] for c in examine(box, "--engines=lsf", status=0)}
    assert found["launcher lsf"] == "ok"
    box.profile.mkdir(mode=0o700)
    config = box.profile / "ipcluster_config.py"
    config.write_text('c.Cluster.n = 2\nc.Cluster.engine_launcher_class = "slurm"\n')
    assert "launcher slurm" in failed(examine(box, status=1)), "as the configuration says"
    config.write_text(
        'c.Cluster.engine_launcher_class = "mpi"\nc.MPILauncher.mpi_cmd = ["bsub", "-x"]\n'
    )
    assert not failed(examine(box, status=0)), "the command that is configured is there"
    config.write_text('c.Cluster.engine_launcher_class = "my.module:Launcher"\n')
    assert not failed(examine(box, status=0)), "of one's own: nothing is known of it"
    bogus = box.run("doctor", "--engines=bogus")
    assert bogus.returncode == 2
    assert "bogus" in bogus.stderr


def test_python_of_the_engines(tmp_path: Path) -> None:
    """A virtual environment whose Python cannot run."""
    box = RealSandbox(tmp_path)
    environment = tmp_path / "env"
    (environment / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (environment / "bin" / name).symlink_to("/bin/false")
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11\n")
    box.env["VIRTUAL_ENV"] = str(environment)
    assert "python" in failed(examine(box, status=1))


def test_open_directory_of_the_profile(tmp_path: Path) -> None:
    box = RealSandbox(tmp_path)
    (box.profile / "security").mkdir(parents=True, mode=0o755)
    box.profile.chmod(0o700)
    (box.profile / "security").chmod(0o755)
    found = failed(examine(box, status=1))
    assert "open to other users" in found["directory"]
