"""Controller and engines started by hand, as the founding documents show it (seeds.md)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat

import pytest
from ipyparallel import interactive

from . import pairings
from .conftest import StackFactory
from .pairings import OUR_CONTROLLER, Pairing
from .polling import wait_until
from .stack import Stack

T = 20.0
MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}


def all_work(stack: Stack, count: int) -> None:
    """``count`` engines answer on every path."""
    rc = stack.client()
    wait_until(lambda: len(rc.ids) >= count, f"{count} engines in client.ids", 40)
    pids = rc[:].apply_async(os.getpid).get(timeout=T)
    assert len(set(pids)) == count
    assert rc.load_balanced_view().apply_async(os.getpid).get(timeout=T) in pids
    assert rc.broadcast_view().apply_async(os.getpid).get(timeout=T) == pids


def test_controller_on_all_interfaces_and_engine_with_file(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--ip=0.0.0.0")
    assert stack.connection("client")["interface"] == "tcp://0.0.0.0"
    stack.start_engine(f"--file={stack.connection_file('engine')}", IPP_PROFILE_DIR=None)
    all_work(stack, 1)


def test_engine_started_before_the_controller_waits(make_stack: StackFactory) -> None:
    stack = make_stack()
    engine = stack.start_engine()
    wait_until(lambda: engine.text() or engine.popen.poll() is not None, "the engine says so", 10)
    engine.require_alive()
    stack.start_controller()
    all_work(stack, 1)


def test_cluster_id_from_the_environment_and_the_command_line(make_stack: StackFactory) -> None:
    stack = make_stack("from-env")
    stack.start_controller()
    assert stack.connection_file("client").name == "ipcontroller-from-env-client.json"
    stack.start_engine()
    all_work(stack, 1)
    other = make_stack("other-id")
    other.spawn(
        "controller-other",
        other.pairing.controller,
        [
            *pairings.command(other.pairing.controller, "controller"),
            f"--profile-dir={other.profile_dir}",
            "--cluster-id=other-id",
            "--ping=300",
        ],
        IPP_CLUSTER_ID="overridden",
        IPP_PROFILE_DIR=None,
    )
    other.wait_for_files(other.controller)
    assert other.client().ids == []


def test_engine_with_connection_info_in_the_environment(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller()
    info = stack.connection_file("engine").read_text()
    stack.connection_file("engine").rename(stack.root / "moved.json")
    stack.start_engine(IPP_CONNECTION_INFO=info)
    all_work(stack, 1)


def test_options_with_and_without_equals_sign(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--scheme", "lru", "--hwm", "2", "--log-level", "10")
    assert stack.connection("client")["task_scheme"] == "lru"
    stack.start_engine("--InteractiveShell.colors=nocolor", "--log-level", "DEBUG")
    all_work(stack, 1)


def test_fixed_ports(make_stack: StackFactory) -> None:
    stack = make_stack()
    low = 20_000 + os.getpid() % 300 * 30
    stack.start_controller(f"--ports={low}-{low + 29}")
    wanted = range(low, low + 30)
    for role in ("client", "engine"):
        info = stack.connection(role)
        used = [v for v in info.values() if isinstance(v, int)] + list(
            info["broadcast"] if isinstance(info["broadcast"], list) else []
        )
        assert len(used) >= 6
        assert all(port in wanted for port in used), used
    stack.start_engine()
    all_work(stack, 1)


def test_mpirun_starts_four_engines(make_stack: StackFactory, pairing: Pairing) -> None:
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        pytest.skip("mpirun (OpenMPI) is not installed")
    stack = make_stack()
    stack.start_controller()
    argv = [mpirun, "-n", "4", *pairings.command(pairing.engines, "engine")]
    group = stack.spawn("engine-mpi", pairing.engines, argv, **MPI_ENVIRONMENT)
    all_work(stack, 4)
    rc = stack.client()
    ranks = rc[:].apply_sync(interactive(lambda: __import__("os").environ["OMPI_COMM_WORLD_RANK"]))
    assert sorted(ranks) == ["0", "1", "2", "3"]
    os.kill(group.pid, signal.SIGTERM)
    wait_until(lambda: rc.ids == [], "all four engines left client.ids", 20)
    group.wait(10)
    shutil.rmtree(stack.root / "tmp")  # OpenMPI keeps its session directory after a signal
    (stack.root / "tmp").mkdir()


def test_connection_files_belong_to_the_owner_only(make_stack: StackFactory) -> None:
    old_umask = os.umask(0)
    try:
        stack = make_stack()
        stack.start_controller()
    finally:
        os.umask(old_umask)
    assert stack.client().ids == []
    security = stack.connection_file("client").parent
    assert stat.S_IMODE(security.stat().st_mode) == 0o700
    for role in ("client", "engine"):
        assert stat.S_IMODE(stack.connection_file(role).stat().st_mode) == 0o600
        assert stack.connection_file(role).read_text().lstrip().startswith("{")
    assert sorted(path.name for path in security.iterdir()) == [
        "ipcontroller-client.json",
        "ipcontroller-engine.json",
    ]


def test_connection_files_have_the_known_keys(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller()
    assert stack.client().ids == []
    common = {"ssh", "interface", "registration", "control", "mux", "task", "iopub", "broadcast"}
    common |= {"key", "curve_serverkey", "location", "pack", "unpack", "signature_scheme"}
    assert set(stack.connection("client")) - {"ipyfleet"} == common | {
        "task_scheme",
        "notification",
    }
    assert set(stack.connection("engine")) - {"ipyfleet"} == common | {"hb_ping", "hb_pong"}
    assert stack.connection("client")["key"] == stack.connection("engine")["key"]
    assert isinstance(stack.connection("engine")["broadcast"], list)
    assert isinstance(stack.connection("client")["broadcast"], int)


def log_patterns(stack: Stack) -> dict[str, str]:
    """Rows of seeds.md -> regular expression of the line."""
    port = stack.connection("engine")["registration"]
    client, engine = (re.escape(str(stack.connection_file(r))) for r in ("client", "engine"))
    return {
        "7": rf"\] Hub listening on tcp://127\.0\.0\.1:{port} for registration\.",
        "8": r"\] Hub using DB backend: '?DictDB'?$",
        "9": r"\] hub::created hub",
        "10": rf"\] writing connection info to {client}",
        "11": rf"\] writing connection info to {engine}",
        "12": r"\] task::using (Python|C\+\+) leastload Task scheduler",
        "82 accept": r"\] registration::accepting registration 0:[0-9a-f-]{33}",
        "82 finish": r"\] registration::finished registering engine 0:[0-9a-f-]{33} in \d+ ?ms",
    }


def test_log_lines_of_the_founding_documents(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start(1)
    for row, pattern in log_patterns(stack).items():
        wait_until(
            lambda p=pattern: re.search(p, stack.controller.text(), re.MULTILINE),
            f"row {row}: {pattern} in\n{stack.controller.text()}",
            3,
        )
    first = stack.controller.text().splitlines()[0]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[IPController(App)?\] ", first)
    engine = stack.engines[0]
    wait_until(
        lambda: re.search(r"Completed registration with id 0$", engine.text(), re.MULTILINE),
        "row 82: the engine's line",
    )


@pytest.mark.pairings(*OUR_CONTROLLER, why="the reference waits for two heartbeats (row 62, 82)")
def test_registration_does_not_wait_for_heartbeats(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start(1, ping=600_000)  # the second beat is far beyond the limit of start()
    text = stack.controller.text()
    assert re.search(r"finished registering engine 0:\S+ in \d+ ?ms", text)
    assert stack.client().ids == [0]
