"""Figures of one engine: latency of ``execute``, copies of large arrays, death, cancel, restart.

Messages are made and sent raw, so that no Python client is measured with the engine.

Examples
--------
    python benchmarks/engine_life.py                          # everything
    python benchmarks/engine_life.py execute --calls 2000     # 1+1, beside ipyparallel's engine
    python benchmarks/engine_life.py copies death cancel restart
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipyparallel as ipp
import zmq
from jupyter_client.session import Session
from side_by_side import Stack, running, wait_for

HERE = Path(__file__).resolve().parent
BIG = 100_000_000


class RawClient:
    """Sockets to a controller that send messages which are signed beforehand."""

    def __init__(self, client: ipp.Client, file: str) -> None:
        self.client = client
        self.ports = json.loads(Path(file).read_text())
        self.session = Session(key=self.ports["key"].encode())
        self.context = zmq.Context()

    def socket(self, kind: int, name: str) -> zmq.Socket[bytes]:
        """A connected socket for mux, control or notification."""
        socket = self.context.socket(kind)
        socket.linger = 0
        socket.rcvtimeo = 60_000
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(f"{self.ports['interface']}:{self.ports[name]}")
        return socket

    def message(self, kind: str, content: dict[str, Any]) -> tuple[str, list[bytes]]:
        """A signed request for engine 0, and its id."""
        message = self.session.msg(kind, content=content)
        engine = self.client._engines[0].encode()
        return message["header"]["msg_id"], self.session.serialize(message, ident=engine)


@contextmanager
def one_engine(
    kind: str, *arguments: str, preload: str = "", forked: bool = False
) -> Iterator[tuple[Stack, ipp.Client, RawClient]]:
    """A controller of ours with one engine of a kind."""
    with running("ipyfleet", 0) as stack:
        stack.kind = kind
        if forked:
            name = f"ipf-bench-{os.getpid()}-{time.monotonic_ns()}"
            stack.spawn([*stack.command("engine"), f"--fork-server={name}"])
            arguments = (*arguments, f"--fork-from={name}")
        stack.spawn(["env", *preload.split(), *stack.command("engine"), *arguments])
        with ipp.Client(stack.client_file(), timeout=60) as client:
            wait_for(lambda: client.ids == [0], "the engine")
            yield stack, client, RawClient(client, stack.client_file())


def execute(options: argparse.Namespace) -> None:
    """Time from sending `1+1` to the reply, engines in turn behind a controller of ours."""
    times: dict[str, list[float]] = {"ipyfleet": [], "ipyparallel": []}
    for _ in range(options.rounds):
        for kind, medians in times.items():
            with one_engine(kind) as (_, _, raw):
                mux = raw.socket(zmq.DEALER, "mux")
                took = []
                for _ in range(options.calls):
                    _, parts = raw.message("execute_request", {"code": "1+1", "silent": False})
                    began = time.perf_counter()
                    mux.send_multipart(parts)
                    mux.recv_multipart()
                    took.append(time.perf_counter() - began)
                medians.append(statistics.median(took) * 1e6)
    show("execute 1+1, p50, us", times)


def copies(options: argparse.Namespace) -> None:
    """Bytes that an engine copies for 100 MB, counted by a wrapper of memcpy and memmove."""
    import numpy as np

    def back(array: Any) -> Any:
        return array

    def take(array: Any) -> int:
        return int(array[-1])

    def copy(size: int) -> int:
        return len(bytearray(memoryview(bytearray(size))))

    def give(size: int) -> Any:
        import numpy

        return numpy.ones(size, dtype=numpy.uint8)

    with tempfile.TemporaryDirectory() as directory:
        library, log = Path(directory, "copies.so"), Path(directory, "copies.log")
        source = HERE / "count_copies.c"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        array = np.ones(BIG, dtype=np.uint8)
        preload = f"LD_PRELOAD={library} COPIES_LOG={log}"
        with one_engine("ipyfleet", preload=preload) as (_, client, _):
            view = client[0]
            pid = view.apply_sync(os.getpid)
            for name, call in (
                ("for comparison: copied by the function", lambda: view.apply_sync(copy, BIG)),
                ("argument", lambda: view.apply_sync(take, array)),
                ("result", lambda: view.apply_sync(give, BIG)),
                ("both", lambda: view.apply_sync(back, array)),
            ):
                call()
                report(name, log, pid, call)


def report(name: str, log: Path, pid: int, call: Callable[[], object]) -> None:
    """What `pid` copies during a call."""
    start = log.stat().st_size if log.exists() else 0
    began = time.perf_counter()
    call()
    took = time.perf_counter() - began
    text = log.read_bytes()[start:].decode() if log.exists() else ""
    sizes = [int(n) for owner, n in re.findall(r"^(\d+) (\d+)", text, re.M) if int(owner) == pid]
    print(f"100 MB {name}: {sum(sizes) / 1e6:.1f} MB copied in the engine, {took:.3f} s")


def death(options: argparse.Namespace) -> None:
    """Time from SIGKILL until the controller's clients are told."""
    took: dict[str, list[float]] = {"started from scratch": [], "forked": []}
    for _ in range(options.rounds * 5):
        for kind, times in took.items():
            with one_engine("ipyfleet", forked=kind == "forked") as (_, client, raw):
                notices = raw.socket(zmq.SUB, "notification")
                pid = client[0].apply_sync(os.getpid)
                time.sleep(0.2)
                began = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                wait_for_end(notices)
                times.append((time.perf_counter() - began) * 1e3)
    show("death notice, ms", took)


def cancel(options: argparse.Namespace) -> None:
    """Time from the order to cancel `time.sleep(100)` to its error; the namespace stays."""
    took = []
    with one_engine("ipyfleet") as (_, client, raw):
        client[0].push({"kept": 1}, block=True)
        mux, control = raw.socket(zmq.DEALER, "mux"), raw.socket(zmq.DEALER, "control")
        for _ in range(options.rounds * 3):
            msg_id, parts = raw.message("execute_request", {"code": "import time; time.sleep(100)"})
            mux.send_multipart(parts)
            time.sleep(0.2)
            began = time.perf_counter()
            control.send_multipart(raw.message("cancel_request", {"msg_id": msg_id})[1])
            mux.recv_multipart()
            took.append((time.perf_counter() - began) * 1e3)
            assert b"interrupted" in b"".join(control.recv_multipart())
        assert client[0].pull("kept", block=True) == 1
    show("cancel of time.sleep(100), ms", {"ipyfleet": took})


def restart(options: argparse.Namespace) -> None:
    """Time from a segmentation fault until start-up code has run again under the same id.

    Crashes in quick succession are delayed on purpose: 0, 0.1, 0.2, 0.4 s and so on.
    """
    took = []
    arguments = ("--restart=on-failure", "--restart-limit=1000", "-c", "started = 1")
    with one_engine("ipyfleet", *arguments) as (_, client, raw):
        mux, code = raw.socket(zmq.DEALER, "mux"), "import ctypes; ctypes.string_at(0)"
        notices = raw.socket(zmq.SUB, "notification")
        for _ in range(options.rounds * 3):
            pid = client[0].apply_sync(os.getpid)
            began = time.perf_counter()
            mux.send_multipart(raw.message("execute_request", {"code": code})[1])
            wait_for_end(notices)
            wait_for(lambda: not client.ids, "this client's own notice")
            wait_for(lambda: client.ids, "the next engine")
            assert client[0].apply_sync(os.getpid) != pid
            assert client[0].pull("started", block=True) == 1
            took.append((time.perf_counter() - began) * 1e3)
    print("restarts after segmentation faults, ms:", ", ".join(f"{t:.0f}" for t in took))


def wait_for_end(notices: zmq.Socket[bytes]) -> None:
    """Until the controller tells its clients that an engine is gone."""
    while b"unregistration_notification" not in b"".join(notices.recv_multipart()):
        pass


def show(name: str, values: dict[str, list[float]]) -> None:
    """Medians, with minimum and maximum."""
    for kind, found in values.items():
        median, least, most = statistics.median(found), min(found), max(found)
        print(f"{name}: {kind} {median:.1f} ({least:.1f} to {most:.1f}, {len(found)} times)")


def main() -> None:
    """Run what is named on the command line."""
    runs = {run.__name__: run for run in (execute, copies, death, cancel, restart)}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", choices=[[], *runs], metavar="RUN", help=", ".join(runs))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args()
    for name in options.runs or runs:
        runs[name](options)


if __name__ == "__main__":
    main()
