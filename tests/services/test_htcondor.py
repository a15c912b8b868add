"""HTCondor, which runs no jobs of root and has no command that sends a signal."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from launcher.harness import bin_dir, processes_of, wait_until

from .conftest import HERE, Site, free_ports, need

# Below none of the directories that only root may enter; it is kept for the next run.
ROOT = Path("/var/cache/ipyfleet-tests/htcondor")
SLOTS = 5


def ordinary_user() -> str:
    """Return a user that is not root and can run our programs."""
    need("patchelf", "setpriv")
    name = "games"
    try:
        pwd.getpwnam(name)
    except KeyError:
        pytest.skip(f"there is no user {name} to run jobs as")
    checks = [f"{bin_dir()}/ipengine --version", f"{bin_dir()}/python -c 'import ipyfleet'"]
    for check in checks if (bin_dir() / "python").exists() else checks[:1]:
        done = run_as(name, Path("/tmp"), {**os.environ}, "sh", "-c", check)
        if done.returncode != 0:
            pytest.skip(f"the user {name} cannot run {check!r}: {done.stderr.strip()[-200:]}")
    return name


def as_user(name: str, home: Path, *command: str) -> list[str]:
    """Return the command line that runs a command as that user."""
    group = str(pwd.getpwnam(name).pw_gid)
    who = ["setpriv", f"--reuid={name}", f"--regid={group}", "--clear-groups"]
    return [*who, "env", f"HOME={home}", f"USER={name}", *command]


def run_as(
    name: str, home: Path, env: dict[str, str], *command: str, seconds: float = 90
) -> subprocess.CompletedProcess[str]:
    """Run a command as that user to its end."""
    return subprocess.run(
        as_user(name, home, *command),
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


class Pool:
    """A running pool of one user."""

    def __init__(self, user: str, directory: Path) -> None:
        self.user = user
        self.directory = directory
        pairs = (line.split("=", 1) for line in (directory / "env").read_text().splitlines())
        self.variables: dict[str, str] = {name: value for name, value in pairs}

    def jobs(self) -> list[dict[str, object]]:
        """What condor_q tells of all jobs."""
        done = subprocess.run(
            ["condor_q", "-allusers", "-json", "-attributes", "JobStatus,JobBatchName,Owner"],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return json.loads(done.stdout or "[]")


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """HTCondor of Debian 13, run by an ordinary user."""
    user = ordinary_user()
    script = str(HERE / "condor.sh")
    begin = time.monotonic()
    got = subprocess.run(
        ["bash", script, "get", str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if got.returncode != 0:
        pytest.skip(f"HTCondor could not be downloaded: {(got.stdout + got.stderr)[-500:]}")
    print(f"condor.sh get: {time.monotonic() - begin:.1f} s")
    home = Path(tempfile.mkdtemp(prefix="ipf-condor-", dir="/tmp"))
    shutil.chown(home, user)
    directory = home / "pool"
    arguments = [str(directory), str(SLOTS), str(free_ports(1)), str(ROOT)]
    begin = time.monotonic()
    started = run_as(user, home, {**os.environ}, "bash", script, "start", *arguments)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        print(f"condor.sh start: {time.monotonic() - begin:.1f} s")
        yield Pool(user, directory)
    finally:
        run_as(user, home, {**os.environ}, "bash", script, "stop", str(directory))
        shutil.rmtree(home, ignore_errors=True)


class CondorSite(Site):
    """A profile of the ordinary user."""

    def __init__(self, root: Path, pool: Pool) -> None:
        super().__init__(root)
        self.pool = pool
        self.env.update(pool.variables)
        self.env["PATH"] = f"{bin_dir()}:{self.env['PATH']}"

    def argv(self, command: str, *args: str) -> list[str]:
        return as_user(self.pool.user, self.root, *super().argv(command, *args))


@pytest.fixture
def on_condor(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Iterator[CondorSite]:
    root = Path(tempfile.mkdtemp(prefix="ipf-condor-site-", dir="/tmp"))
    shutil.chown(root, pool.user)
    for name, value in pool.variables.items():
        monkeypatch.setenv(name, value)
    box = CondorSite(root, pool)
    try:
        yield box
        wait_until(lambda: not processes_of(box.profile), box.left_text(), timeout=10)
        assert pool.jobs() == []
    finally:
        box.kill_everything()
        shutil.rmtree(root, ignore_errors=True)


def test_start_interrupt_stop(on_condor: CondorSite) -> None:
    site = on_condor
    settings = '--engine-settings={"walltime": "0:20:00"}'
    site.timed(
        "start", "--daemonize", "-n", "3", "--engines=htcondor", "--controller=HTCondor", settings
    )
    jobs = site.pool.jobs()
    assert {job["Owner"] for job in jobs} == {site.pool.user}
    assert sorted((job["JobBatchName"], job["JobStatus"]) for job in jobs) == [
        ("ipcontroller", 2),
        *[("ipengine", 2)] * 3,
    ]
    with site.client() as rc:
        assert rc.ids == [0, 1, 2]
        assert rc[:].apply_sync(os.getuid) == [pwd.getpwnam(site.pool.user).pw_uid] * 3
        site.interrupt(rc, by_launcher=False)
    row = site.run("list").stdout.splitlines()[1].split()
    assert [row[2], row[3], row[4].lower()] == ["True", "3", "htcondor"]
    site.timed("stop")
    site.assert_nothing_left()


CONTROL = """\
import os
import sys
import time

import ipyfleet as ipp

cluster = ipp.Cluster.from_file(profile_dir=sys.argv[1])
with cluster.connect_client_sync() as rc:
    before = rc[:].apply_sync(os.getpid)
    begin = time.monotonic()
    cluster.restart_engine_sync(1)
    print(f"{time.monotonic() - begin:.2f} s to restart an engine", file=sys.stderr)
    after = rc[:].apply_sync(os.getpid)
    print(rc.ids, [a == b for a, b in zip(before, after)])
    sleeping = [rc[i].apply_async(time.sleep, 60) for i in rc.ids]
    while sum(each["queue"] for each in map(rc.queue_status, rc.ids)) < 2:
        time.sleep(0.01)
    cluster.signal_engine_sync(2, 0)
    print(type(sleeping[0].exception(20)).__name__, sleeping[1].done())
    cluster.signal_engines_sync(2)
    print(sleeping[1].exception(20).ename)
"""


def test_single_engines_are_restarted_signalled_and_removed(
    on_condor: CondorSite,
) -> None:
    site = on_condor
    site.timed("start", "--daemonize", "-n", "2", "--engines=htcondor")
    done = run_as(
        site.pool.user, site.root, site.env, sys.executable, "-c", CONTROL, str(site.profile)
    )
    print(done.stderr)
    assert done.stdout.splitlines() == [
        "[0, 1] [True, False]",
        "RemoteError False",
        "KeyboardInterrupt",
    ], done.stderr
    with site.client() as rc:
        launcher = site.engines()  # its command runs while it lives
        launcher.stop(index=0)
        wait_until(lambda: len(rc.ids) == 1, "one engine is gone", timeout=30)
        assert rc[:].apply_sync(abs, -7) == [7]
    site.timed("stop")
    site.assert_nothing_left()
