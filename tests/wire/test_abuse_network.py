"""A bad network between the controller and its peers (users.md 5c): slow, uneven, cut."""

from __future__ import annotations

import json
import os
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from types import TracebackType

import pytest
from ipyparallel import Client

from .conftest import StackFactory
from .hostile import nap
from .pairings import C
from .polling import wait_until
from .raw import ports
from .stack import Stack

pytestmark = pytest.mark.pairings(C, why="our controller and engines over a bad network")


class Proxy:
    """Forwards TCP ports with a random delay for each piece of data, in order."""

    def __init__(self, targets: list[int], delay: tuple[float, float], seed: int = 1) -> None:
        self._delay = delay
        self._random = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._waiting: list[tuple[float, socket.socket, bytes]] = []
        self._latest: dict[socket.socket, float] = {}
        self._stop = threading.Event()
        self.ports: dict[int, int] = {}
        self._listeners: dict[socket.socket, int] = {}
        for target in targets:
            listener = socket.create_server(("127.0.0.1", 0))
            self._listeners[listener] = target
            self.ports[target] = listener.getsockname()[1]
            self._selector.register(listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        for one in [*self._listeners, *self._pairs]:
            one.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(self._pause()):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source in self._listeners:
                    self._accept(source)
                else:
                    self._receive(source)
            self._deliver()

    def _pause(self) -> float:
        if not self._waiting:
            return 0.05
        return min(0.05, max(0.0, min(at for at, _, _ in self._waiting) - time.monotonic()))

    def _accept(self, listener: socket.socket) -> None:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", self._listeners[listener]))
        for one, other in ((near, far), (far, near)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _receive(self, source: socket.socket) -> None:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        other = self._pairs[source]
        at = max(
            time.monotonic() + self._random.uniform(*self._delay), self._latest.get(other, 0.0)
        )
        self._latest[other] = at
        self._waiting.append((at, other, data))
        if not data:
            self._selector.unregister(source)

    def _deliver(self) -> None:
        now = time.monotonic()
        due = [entry for entry in self._waiting if entry[0] <= now]
        self._waiting = [entry for entry in self._waiting if entry[0] > now]
        for _, target, data in due:
            try:
                if data:
                    target.sendall(data)
                else:
                    target.shutdown(socket.SHUT_WR)
            except OSError:
                continue


def through(proxy: Proxy, stack: Stack, role: str) -> str:
    """The text of a connection file whose ports are the proxy's."""
    info = stack.connection(role)
    for name, value in info.items():
        if isinstance(value, list):
            info[name] = [proxy.ports[port] for port in value]
        elif isinstance(value, int) and not isinstance(value, bool):
            info[name] = proxy.ports[value]
    return json.dumps(info)


@pytest.fixture
def slow(make_stack: StackFactory) -> Iterator[tuple[Stack, Client]]:
    """A stack whose engines and client are 50 to 150 ms away, each way."""
    stack = make_stack()
    stack.start_controller(ping=1000)
    everything = ports(stack.connection("client"), stack.connection("engine"))
    with Proxy(sorted(set(everything.values())), (0.05, 0.15)) as proxy:
        engine_file = stack.root / "far-engine.json"
        client_file = stack.root / "far-client.json"
        for path, role in ((engine_file, "engine"), (client_file, "client")):
            path.write_text(through(proxy, stack, role))
            path.chmod(0o600)
        for _ in range(2):
            stack.start_engine(f"--file={engine_file}")
        rc = Client(str(client_file), timeout=20)
        wait_until(lambda: rc.ids == [0, 1], "engines over the slow network", 30)
        yield stack, rc
        rc.close()
        for engine in stack.engines:
            engine.popen.terminate()
            engine.wait(10)


def test_delay_and_jitter_make_it_slower_and_nothing_else(slow: tuple[Stack, Client]) -> None:
    stack, rc = slow
    pids = rc[:].apply_async(os.getpid).get(timeout=20)
    assert len(set(pids)) == 2
    results = rc.load_balanced_view().map_async(nap, [0.0] * 40).get(timeout=60)
    assert set(results) == set(pids)
    assert rc.broadcast_view(is_coalescing=True).apply_async(os.getpid).get(timeout=20) == pids
    ar = rc[:].execute("print('far away')", silent=False)
    assert ar.wait_for_output(timeout=20)
    assert rc.ids == [0, 1]
    assert "unregister_engine" not in stack.controller.text()
