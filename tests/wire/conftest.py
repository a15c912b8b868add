"""Fixtures of the wire tests: stacks for each pairing, clients, logs of failed tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import ipyparallel as ipp
import pytest

from . import pairings, stack
from .hostile import ENGINES, nap
from .pairings import Pairing
from .polling import wait_until
from .raw import RawPeer
from .stack import Stack, StackError

SHARED_ENGINES = 3
os.environ["IPP_NONINTERACTIVE"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers of the wire tests."""
    config.addinivalue_line(
        "markers", "pairings(*pairings, why): run only with these pairings; why the others differ"
    )
    config.addinivalue_line("markers", "xdist_group(name): tests that share a stack")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses ``pairing`` once for each selected pairing."""
    if "pairing" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("pairings")
    wanted = marker.args if marker else pairings.ALL
    params: list[Pairing | None] = [p for p in pairings.selected() if p in wanted]
    params = params or [None]
    ids = [p.name if p else "none" for p in params]
    metafunc.parametrize("pairing", params, indirect=True, scope="session", ids=ids)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests without a selected pairing; keep one pairing on one xdist worker."""
    keep, drop = [], []
    for item in items:
        callspec = getattr(item, "callspec", None)
        params = callspec.params if callspec else {}
        (drop if params.get("pairing", "-") is None else keep).append(item)
        item.add_marker(pytest.mark.xdist_group(_group(item, params.get("pairing"))))
    if drop:
        config.hook.pytest_deselected(items=drop)
        items[:] = keep


def _group(item: pytest.Item, pairing: Pairing | None) -> str:
    fixtures = getattr(item, "fixturenames", ())
    for name in ("shared", "victim", "counted"):
        if pairing and name in fixtures:
            return f"{name}-{pairing.name}"
    return item.nodeid


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Attach the logs of all stacks that are up to the report of a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for active in stack.ACTIVE:
            report.sections.append((f"logs of stack {active.root}", active.logs()))


@pytest.fixture(scope="session")
def pairing(request: pytest.FixtureRequest) -> Pairing:
    """The controller and engine kinds of this test."""
    return request.param


StackFactory = Callable[..., Stack]


@pytest.fixture
def make_stack(
    pairing: Pairing, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackFactory]:
    """Factory for stacks that live for one test and are stopped and checked at its end."""
    made: list[Stack] = []

    def make(cluster_id: str = "") -> Stack:
        new = Stack(tmp_path_factory.mktemp(f"own-{pairing.name}"), pairing, cluster_id)
        made.append(new)
        return new

    yield make
    errors = []
    for one in made:
        try:
            one.stop()
        except StackError as error:
            errors.append(str(error))
    if errors:
        pytest.fail("\n".join(errors), pytrace=False)


class SharedStack:
    """One stack for all harmless tests of a pairing; started again when a test broke it."""

    def __init__(self, pairing: Pairing, factory: pytest.TempPathFactory) -> None:
        self._pairing = pairing
        self._factory = factory
        self._counter = itertools.count()
        self._stack: Stack | None = None

    def get(self) -> Stack:
        """The running stack with all its engines."""
        if self._stack and not self._healthy(self._stack):
            self.stop()
        if self._stack is None:
            name = f"shared-{self._pairing.name}-{next(self._counter)}"
            self._stack = Stack(self._factory.mktemp(name), self._pairing)
            self._stack.start(SHARED_ENGINES)
            self._stack.close_clients()
        return self._stack

    def stop(self) -> None:
        """Stop the stack and check that nothing is left."""
        if self._stack:
            old, self._stack = self._stack, None
            old.stop()

    @staticmethod
    def _healthy(candidate: Stack) -> bool:
        if any(p.popen.poll() is not None for p in candidate.procs):
            return False
        try:
            rc = candidate.client()
            replies = rc[:].apply_async(os.getpid)
            return len(replies.get(timeout=5)) == SHARED_ENGINES
        except Exception:  # any failure of the probe means "not healthy"
            return False
        finally:
            candidate.close_clients()


@pytest.fixture(scope="session")
def shared(pairing: Pairing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedStack]:
    """Holder of the stack that all harmless tests of a pairing use."""
    holder = SharedStack(pairing, tmp_path_factory)
    yield holder
    holder.stop()


@pytest.fixture
def stack_up(shared: SharedStack) -> Stack:
    """The shared stack, checked to be healthy before the test."""
    return shared.get()


@pytest.fixture(name="stack")
def shared_stack(stack_up: Stack) -> Iterator[Stack]:
    """The shared stack; clients made by the test are closed after it."""
    yield stack_up
    stack_up.close_clients()


@pytest.fixture
def rc(stack: Stack) -> ipp.Client:
    """A fresh unmodified client on the shared stack, engines with empty namespaces."""
    client = stack.client()
    wait_until(lambda: len(client.ids) == SHARED_ENGINES, "all engines in client.ids")
    client.clear(block=True)
    return client


# --- hostile tests ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def victim(pairing: Pairing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack under attack."""
    stack = Stack(tmp_path_factory.mktemp(f"victim-{pairing.name}"), pairing)
    stack.start(ENGINES)
    stack.close_clients()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def normal(victim: Stack) -> ipp.Client:
    """A client that was there before the attacks."""
    return victim.client()


@pytest.fixture
def peer(victim: Stack, normal: ipp.Client) -> Iterator[RawPeer]:
    """A raw peer; afterwards old and new clients must work and no engine slot may be lost."""
    with RawPeer(victim.connection("client")) as raw:
        yield raw
    for proc in victim.procs:
        proc.require_alive()
    newcomer = victim.client(timeout=5)
    for rc in (normal, newcomer):
        assert rc.ids == list(range(ENGINES))
        assert len(rc[:].apply_async(os.getpid).get(timeout=10)) == ENGINES
        view = rc.load_balanced_view()
        naps = [view.apply_async(nap, 0.05) for _ in range(2 * ENGINES)]
        assert len({ar.get(timeout=10) for ar in naps}) == ENGINES, "an engine gets no tasks"
    newcomer.close()

    def idle() -> bool:
        status = normal.queue_status()
        counts = [status[i][key] for i in range(ENGINES) for key in ("queue", "tasks")]
        return not any(counts) and status["unassigned"] == 0

    wait_until(idle, "queue_status counts no task of the attack", 5)
