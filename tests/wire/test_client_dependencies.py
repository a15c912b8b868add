"""Unmodified client: graphs of tasks with ``after`` and ``follow``."""

from __future__ import annotations

import itertools
import random

import ipyparallel as ipp
import pytest
from ipyparallel import interactive
from ipyparallel.error import RemoteError

from .conftest import SHARED_ENGINES
from .pairings import A, C
from .polling import wait_until

T = 20.0


@interactive
def span(seconds: float = 0.0) -> tuple[float, float, int]:
    """Sleep; return begin, end and pid."""
    import os
    import time

    begin = time.time()
    time.sleep(seconds)
    return begin, time.time(), os.getpid()


@interactive
def fail(seconds: float = 0.0) -> None:
    """Sleep, then raise."""
    import time

    time.sleep(seconds)
    raise ValueError("on purpose")


def submit(view: ipp.LoadBalancedView, *args: object, **flags: object) -> ipp.AsyncResult:
    """Call ``span`` or the function given with these flags."""
    f = args[0] if args and callable(args[0]) else span
    rest = args[1:] if args and callable(args[0]) else args
    with view.temp_flags(**flags):
        return view.apply_async(f, *rest)


def refused(ar: ipp.AsyncResult) -> str:
    """Name of the error that a task ends with."""
    with pytest.raises(RemoteError) as caught:
        ar.get(timeout=T)
    return caught.value.ename


def test_after_waits_for_the_end(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    first = submit(view, 0.3)
    second = submit(view, after=[first])
    assert second.get(timeout=T)[0] >= first.get(timeout=T)[1]


def test_diamond(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    top = submit(view, 0.1)
    left, right = (submit(view, 0.1, after=[top]) for _ in range(2))
    bottom = submit(view, after=[left, right])
    end = bottom.get(timeout=T)[0]
    for side in (left, right):
        assert top.get(timeout=T)[1] <= side.get(timeout=T)[0]
        assert side.get(timeout=T)[1] <= end


def test_chain_of_200(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    chain = [submit(view)]
    for _ in range(199):
        chain.append(submit(view, after=[chain[-1]]))
    spans = [ar.get(timeout=60) for ar in chain]
    assert all(before[1] <= behind[0] for before, behind in itertools.pairwise(spans))


def test_random_graph_runs_in_a_topological_order(rc: ipp.Client) -> None:
    rng = random.Random(20261121)
    view = rc.load_balanced_view()
    nodes: list[tuple[ipp.AsyncResult, list[ipp.AsyncResult]]] = []
    for number in range(150):
        earlier = [node for node, _ in rng.sample(nodes, min(number, rng.randrange(4)))]
        nodes.append((submit(view, 0.002, after=earlier), earlier))
    for node, earlier in nodes:
        begin = node.get(timeout=60)[0]
        assert all(dependency.get(timeout=T)[1] <= begin for dependency in earlier)


def test_any_needs_only_one(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    slow, quick = submit(view, 1.0), submit(view, 0.1)
    either = submit(view, after=ipp.Dependency([slow, quick], all=False))
    assert either.get(timeout=T)[0] < slow.get(timeout=T)[1]


def test_a_failure_makes_its_dependents_impossible(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    bad = submit(view, fail, 0.2)
    first = submit(view, after=[bad])
    second = submit(view, after=[first])
    assert refused(first) == "ImpossibleDependency"
    assert refused(second) == "ImpossibleDependency"
    assert refused(submit(view, after=[bad])) == "ImpossibleDependency"
    assert view.apply_sync(span)


def test_failure_can_be_asked_for(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    bad, good = submit(view, fail), submit(view)
    handler = submit(view, after=ipp.Dependency([bad], success=False, failure=True))
    anyway = submit(view, after=ipp.Dependency([bad, good], success=True, failure=True))
    assert handler.get(timeout=T)
    assert anyway.get(timeout=T)
    never = submit(view, after=ipp.Dependency([good], success=False, failure=True))
    assert refused(never) == "ImpossibleDependency"


def test_a_retried_task_releases_its_dependents_when_it_succeeds(rc: ipp.Client) -> None:
    rc[0].push({"lucky": True}, block=True)
    view = rc.load_balanced_view()
    retried = submit(view, interactive(lambda: lucky), retries=SHARED_ENGINES - 1)  # noqa: F821
    behind = submit(view, after=[retried])
    assert behind.get(timeout=T)
    assert retried.get(timeout=T) is True


def test_follow_runs_on_the_same_engine(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    first = [submit(view, 0.02) for _ in range(2 * SHARED_ENGINES)]
    followers = [submit(view, follow=[ar]) for ar in first for _ in range(2)]
    for index, follower in enumerate(followers):
        assert follower.get(timeout=T)[2] == first[index // 2].get(timeout=T)[2]


def test_follow_any_of_two_engines(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    on = [submit(view, targets=[rc.ids[i]]) for i in (0, 2)]
    pids = {ar.get(timeout=T)[2] for ar in on}
    followers = [submit(view, 0.05, follow=ipp.Dependency(on, all=False)) for _ in range(6)]
    assert {ar.get(timeout=T)[2] for ar in followers} == pids


def test_follow_all_of_two_engines_is_impossible(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    on = [submit(view, targets=[rc.ids[i]]) for i in (0, 2)]
    assert refused(submit(view, follow=on)) == "ImpossibleDependency"


def test_timeout_covers_the_wait_for_a_dependency(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    slow = submit(view, 1.5)
    assert refused(submit(view, after=[slow], timeout=0.3)) == "TaskTimeout"
    assert slow.get(timeout=T)


def test_unknown_tasks_are_invalid(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    direct = rc[0].apply_async(span)
    direct.get(timeout=T)
    broadcast = rc.broadcast_view().apply_async(span)
    broadcast.get(timeout=T)
    for unknown in (["never-heard-of"], [direct], list(broadcast.msg_ids)):
        assert refused(submit(view, after=unknown)) == "InvalidDependency"
        assert refused(submit(view, follow=unknown)) == "InvalidDependency"


@pytest.mark.pairings(A, C, why="the reference's errors have no text")
def test_an_invalid_dependency_is_named(rc: ipp.Client) -> None:
    view = rc.load_balanced_view()
    with pytest.raises(RemoteError, match="'after' names task 'never-heard-of'"):
        submit(view, after=["never-heard-of"]).get(timeout=T)


def test_dependencies_of_another_client(rc: ipp.Client, stack_up: object) -> None:
    other = stack_up.client()  # type: ignore[attr-defined]
    first = submit(rc.load_balanced_view(), 0.5)

    def arrived() -> bool:
        return first.msg_ids[0] in str(rc.queue_status(verbose=True))

    wait_until(arrived, "the hub knows the first task")  # the clients' sockets are not in step
    second = submit(other.load_balanced_view(), after=first.msg_ids)
    assert second.get(timeout=T)[0] >= first.get(timeout=T)[1]
