"""Peers that take more than their share: sizes, handshakes, descriptors, memory (users.md 5c)."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import ipyparallel as ipp
import pytest
import zmq

from . import zmtp
from .conftest import StackFactory
from .hostile import ENGINES, engine_uuid, expect_silence
from .pairings import C, command
from .polling import holds_for, wait_until
from .procs import freeze
from .raw import CHANNELS, RawPeer, ports
from .stack import Proc, Stack

pytestmark = pytest.mark.pairings(C, why="limits of our controller (users.md 5c)")
MB = 1 << 20


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def still_works(stack: Stack, rc: ipp.Client, engines: int) -> None:
    """Old and new clients are served."""
    stack.controller.require_alive()
    newcomer = stack.client(timeout=10)
    for client in (rc, newcomer):
        assert len(client[:].apply_async(os.getpid).get(timeout=10)) == engines
        client.load_balanced_view().apply_async(os.getpid).get(timeout=10)


# --- 14, 15: large unsigned frames ------------------------------------------------------------


def test_large_unsigned_frames_leave_no_memory_behind(
    peer: RawPeer, victim: Stack, normal: ipp.Client
) -> None:
    before = resident(victim.controller.pid)
    for target in (b"no-such-engine", engine_uuid(normal)):
        for _ in range(4):
            frames = peer.message("apply_request", key="wrong", buffers=[bytes(50 * MB)])
            peer.send("mux", frames, target)
    expect_silence(peer, *CHANNELS)
    assert peer.query_works()
    wait_until(
        lambda: resident(victim.controller.pid) - before < 100 * MB, "the frames are gone", 10
    )
    for engine in victim.engines:  # an engine that had got one would have complained
        assert "signature" not in engine.text().lower()


# --- 16: a frame over the limit ---------------------------------------------------------------


def test_a_frame_of_8_gb_ends_its_connection(peer: RawPeer, victim: Stack) -> None:
    for name, port in ports(victim.connection("client"), victim.connection("engine")).items():
        if "iopub" in name or "notification" in name or "hb_ping" in name:
            continue  # they take nothing but subscriptions
        connection = zmtp.connect(port)
        connection.sendall(zmtp.frame(b"", more=True) + zmtp.frame_header(8 << 30) + b"x" * 1000)
        assert zmtp.closed_within(connection, 5), name
        connection.close()


def test_the_limit_of_a_frame_is_configurable(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--max-message-size=1MB")
    rc = stack.start_engines(1)
    assert rc[0].apply_sync(len, bytes(MB // 2)) == MB // 2
    with RawPeer(stack.connection("client")) as peer:
        for channel in ("mux", "task", "registration", "broadcast"):
            frames = peer.message("apply_request", buffers=[bytes(2 * MB)])
            peer.send(channel, frames, engine_uuid(rc) if channel == "mux" else None)
        expect_silence(peer, "mux", "task", "broadcast")
    still_works(stack, rc, 1)


# --- 21: handshakes that never end ------------------------------------------------------------


def test_a_handshake_that_never_ends_is_cut_off(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--handshake-timeout=0.5")
    rc = stack.start_engines(1)
    everything = ports(stack.connection("client"), stack.connection("engine"))
    silent = [socket.create_connection(("127.0.0.1", port)) for port in everything.values()]
    slow = [socket.create_connection(("127.0.0.1", port)) for port in everything.values()]
    for connection in slow:
        connection.sendall(zmtp.GREETING[:30])
    for connection in silent + slow:
        assert zmtp.closed_within(connection, 5)
        connection.close()
    assert rc[0].apply_async(os.getpid).get(timeout=5), "a peer with a handshake was cut off"


def test_1200_half_open_connections(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller()
    rc = stack.start_engines(1)
    everything = list(ports(stack.connection("client")).values())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this machine does not allow 2000 file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    opened = []
    try:
        for i in range(1200):
            opened.append(socket.create_connection(("127.0.0.1", everything[i % len(everything)])))
        still_works(stack, rc, 1)
    finally:
        for connection in opened:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fds = Path(f"/proc/{stack.controller.pid}/fd")
    wait_until(lambda: len(list(fds.iterdir())) < 150, "the descriptors come back")


# --- 22: no file descriptors ------------------------------------------------------------------


def start_with_few_descriptors(stack: Stack, count: int) -> Proc:
    prlimit = shutil.which("prlimit")
    assert prlimit, "util-linux is needed"
    argv = [prlimit, f"--nofile={count}:{count}", *command("ours", "controller"), "--ping=300"]
    return stack.spawn("controller-0", "ours", argv)


@pytest.mark.parametrize("limit", [64, 256])
def test_without_descriptors_new_peers_wait_and_old_ones_are_served(
    make_stack: StackFactory, limit: int
) -> None:
    stack = make_stack()
    stack.wait_for_files(start_with_few_descriptors(stack, limit))
    rc = stack.start_engines(1)
    flooded = sorted(set(ports(stack.connection("client"), stack.connection("engine")).values()))
    assert len(flooded) == 14
    opened = [
        socket.create_connection(("127.0.0.1", flooded[i % len(flooded)]))
        for i in range(limit + 144)
    ]
    try:
        wait_until(lambda: "new connections" in stack.controller.text(), "the log says it")
        fds = Path(f"/proc/{stack.controller.pid}/fd")
        wait_until(lambda: len(list(fds.iterdir())) >= limit - 1, "no descriptor is left", 5)
        assert rc[0].apply_async(os.getpid).get(timeout=10)
        begin, used = time.monotonic(), cpu_seconds(stack.controller.pid)
        opened += [socket.create_connection(("127.0.0.1", port)) for port in flooded]
        holds_for(lambda: stack.controller.popen.poll() is None, "it runs", 2)
        share = (cpu_seconds(stack.controller.pid) - used) / (time.monotonic() - begin)
        assert share < 0.5, f"it spins: {share:.0%} of a processor"
        assert rc[0].apply_async(os.getpid).get(timeout=10), "the engine's heart was not heard"
        assert "unregister_engine" not in stack.controller.text()
        assert stack.controller.text().count("new connections") <= 12
    finally:
        for one in opened:
            one.close()
    assert rc[0].apply_async(os.getpid).get(timeout=10)

    def newcomer_served() -> bool:
        stack.close_clients()  # there is not room for many
        return stack.client(timeout=10).ids == [0]

    wait_until(newcomer_served, "new clients are served again", 20, 1)
    newcomer = stack.clients[-1]
    assert newcomer[0].apply_async(os.getpid).get(timeout=10)
    assert newcomer.load_balanced_view().apply_async(os.getpid).get(timeout=10)


def test_far_too_few_descriptors_are_a_clear_error(make_stack: StackFactory) -> None:
    stack = make_stack()
    proc = start_with_few_descriptors(stack, 24)
    assert proc.wait(10) == 1
    assert "file" in proc.text()
    assert "terminate called" not in proc.text()
    stack.procs.clear()


# --- 23: peers that do not read ---------------------------------------------------------------


def test_a_subscriber_that_never_reads_hurts_nobody(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1)
    sleeper = zmtp.connect(stack.connection("client")["iopub"], b"SUB")
    sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sleeper.sendall(zmtp.frame(b"\x01"))
    ar = rc[0].execute("for i in range(3000): print('x' * 1000, flush=True)", silent=False)
    ar.get(timeout=30)
    assert ar.wait_for_output(timeout=30)
    assert len(ar.stdout[0] if isinstance(ar.stdout, list) else ar.stdout) >= 3_000_000
    assert resident(stack.controller.pid) < 300 * MB
    still_works(stack, rc, 1)
    sleeper.close()


def test_a_client_that_never_reads_its_results_hurts_nobody(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1)
    count, size = 30, 1_000_000
    with RawPeer(stack.connection("client")) as writer:
        sleeper = zmtp.connect(stack.connection("client")["task"])
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(count):
            content = {"code": "", "silent": False, "user_expressions": {"r": f"'x' * {size}"}}
            frames = writer.message("execute_request", content, {})
            for i, part in enumerate(frames):
                sleeper.sendall(zmtp.frame(part, more=i + 1 < len(frames)))
    rc.load_balanced_view().apply_async(os.getpid).get(timeout=30)
    wait_until(lambda: rc.queue_status()[0]["completed"] > count, "its tasks are done", 30)
    assert resident(stack.controller.pid) < 10 * count * size
    still_works(stack, rc, 1)
    sleeper.close()


# --- 20: heartbeats ---------------------------------------------------------------------------


def test_a_flood_of_heartbeats_hurts_nobody(
    peer: RawPeer, victim: Stack, normal: ipp.Client
) -> None:
    with RawPeer(victim.connection("engine")) as liar:
        flood = liar.socket("hb_pong", zmq.DEALER, b"nobody")
        before = resident(victim.controller.pid)
        for _ in range(50_000):
            flood.send(b"12345.678")
        assert peer.query_works()
        assert normal[:].apply_async(os.getpid).get(timeout=10)
        assert resident(victim.controller.pid) - before < 100 * MB
        assert normal.ids == list(range(ENGINES))


def test_false_heartbeats_do_not_keep_a_dead_engine(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(1)
    uuid = engine_uuid(rc)
    pid = rc[0].apply_sync(os.getpid)
    with RawPeer(stack.connection("engine")) as liar:
        pong = liar.socket("hb_pong", zmq.DEALER, uuid)
        ping = liar.socket("hb_ping", zmq.SUB)
        ping.subscribe(b"")
        os.kill(pid, 9)

        def gone() -> bool:
            while ping.poll(0):
                pong.send(ping.recv())
            return rc.ids == []

        wait_until(gone, "the engine is unregistered", 10)


# --- 19: registrations ------------------------------------------------------------------------


def test_a_flood_of_registrations_is_bounded(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller("--IPController.registration_timeout=2")
    rc = stack.start_engines(1)
    count = 6000
    with RawPeer(stack.connection("client")) as liar:
        for i in range(count):
            liar.send("registration", liar.message("registration_request", {"uuid": f"fake-{i}"}))
        replies = [liar.receive("registration", 20) for _ in range(count)]
        kinds = [r["content"]["status"] for r in replies if r]
        assert len(kinds) == count
        assert kinds.count("error") >= count - 4096, "every registration was taken"
    assert rc.ids == [0]
    still_works(stack, rc, 1)
    wait_until(lambda: "no heart in time" in stack.controller.text(), "they expire", 10)
    newcomer = stack.start_engine()
    wait_until(lambda: len(rc.ids) == 2, "a real engine registers afterwards", 20)
    newcomer.require_alive()


# --- 31, 41: a thread of the controller dies, memory runs out -----------------------------------


def test_a_dead_thread_ends_the_controller_at_once(make_stack: StackFactory) -> None:
    stack = make_stack()
    stack.start_controller()
    controller = stack.controller
    prlimit = shutil.which("prlimit")
    assert prlimit, "util-linux is needed"
    mapped = int(Path(f"/proc/{controller.pid}/statm").read_text().split()[0])
    limit = mapped * resource.getpagesize() + 64 * MB
    subprocess.run([prlimit, f"--pid={controller.pid}", f"--as={limit}"], check=True)
    with RawPeer(stack.connection("client")) as peer:
        peer.send("task", peer.message("apply_request", buffers=[bytes(300 * MB)]))
        assert controller.wait(10) == 1
    assert "the task scheduler thread failed, the controller ends" in controller.text()
    stack.procs.clear()


# --- 24: an engine that takes nothing ---------------------------------------------------------


def test_an_engine_that_takes_nothing_delays_nobody_else(make_stack: StackFactory) -> None:
    stack = make_stack()
    rc = stack.start(2)
    pids = rc[:].apply_sync(os.getpid)
    freeze(pids[0])
    try:
        with RawPeer(stack.connection("client")) as peer:
            for _ in range(100):  # 200 MB of requests, far more than sockets hold
                frames = peer.message("apply_request", buffers=[bytes(2 * MB)])
                peer.send("mux", frames, engine_uuid(rc, 0))
            assert rc[1].apply_async(os.getpid).get(timeout=10) == pids[1]
            view = rc.load_balanced_view(targets=[1])
            assert view.apply_async(os.getpid).get(timeout=10) == pids[1]
            assert resident(stack.controller.pid) < 600 * MB
    finally:
        os.kill(pids[0], signal.SIGCONT)
    assert rc[0].apply_async(os.getpid).get(timeout=30) == pids[0]
