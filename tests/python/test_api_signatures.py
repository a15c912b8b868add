"""Every public name of ipyparallel 9.2 is here, with its signature unless a reason is given."""

from __future__ import annotations

import concurrent.futures
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import ipyfleet
import pytest
from traitlets import HasTraits

peer: Any = pytest.importorskip("ipyparallel")

# Names of ipyparallel that are missing here, each with the reason.
MISSING = {
    "MultipleInstanceError": "an error of traitlets, which the package exports by accident",
    "Client.create_message_futures": "internal: the C++ client matches replies",
    "Client.send_apply_request": "internal: takes a zmq stream; views make calls",
    "Client.send_execute_request": "internal: takes a zmq stream; views make calls",
    "Client.curve_publickey": "CURVE is not there yet",
    "Client.curve_secretkey": "CURVE is not there yet",
    "Client.curve_serverkey": "CURVE is not there yet",
}

_POSITIONAL = "the function is positional only, so that any keyword can be one of its own"
_NAMED = "named as the others; only ever given by position"
_KEEP = "keep_results, to let go of results once they were read"
_INSTANCES = "ipyparallel's default is a list or dict that all calls share"

# Signatures that differ, each with the reason.
DIFFERENT = {
    **{
        f"{view}.{name}": _POSITIONAL
        for view in ("View", "DirectView", "LoadBalancedView", "BroadcastView")
        for name in ("apply", "apply_async", "apply_sync")
    },
    **{
        f"{owner}.purge_results": _INSTANCES
        for owner in ("Client", "View", "DirectView", "LoadBalancedView", "BroadcastView")
    },
    "Client.purge_hub_results": _INSTANCES,
    "Client.purge_local_results": _INSTANCES,
    "BroadcastView": "a class of traitlets shows no parameters there",
    "BroadcastView.execute": "label, as in the other views",
    "BroadcastView.map": "label, as in the other views",
    "Client": "a class of traitlets shows no parameters there",
    "DirectView": "a view without a client is of no use",
    "LoadBalancedView": "a view without a client is of no use",
    "Cluster": "no delay, and a restart policy",
    "ViewExecutor.submit": _POSITIONAL,
    "ViewExecutor.shutdown": "cancel_futures, as in concurrent.futures",
    "Dependency": "ipyparallel's default is a list that all calls share",
    "LoadBalancedView.imap": "chunksize, as in map",
    "LoadBalancedView.map": _KEEP,
    "DirectView.map": _KEEP,
    "ParallelFunction.__call__": "takes no keywords; ipyparallel refuses them when it is called",
    "collect_exceptions": _NAMED,
    "wrap_exception": "the exception may be given",
    "unpack_apply_message": _NAMED,
}

_CLASSES = (
    *("Client", "View", "DirectView", "LoadBalancedView", "BroadcastView", "AsyncResult"),
    *("AsyncMapResult", "AsyncHubResult", "ViewExecutor", "RemoteFunction", "ParallelFunction"),
    *("Dependency", "Reference", "RemoteError", "CompositeError", "AlreadyDisplayedError"),
    *("Cluster", "ClusterManager"),
)
_SPECIAL = ("__call__", "__enter__", "__exit__", "__getitem__", "__iter__", "__len__")
_FOREIGN = {*dir(HasTraits), *dir(concurrent.futures.Future), *dir(set), *dir(Exception)} - {
    *("add_done_callback", "cancel", "exception", "result", "update", "clear"),
    *_SPECIAL,
}


def _of_peer(name: str) -> Any:
    if name == "View":
        return importlib.import_module("ipyparallel.client.view").View
    return getattr(peer, name)


def _public_names() -> Iterator[str]:
    """Return dotted names of everything public in ipyparallel."""
    for name in sorted(dir(peer)):
        if not name.startswith("_") and not inspect.ismodule(getattr(peer, name)):
            yield name
    for name in _CLASSES:
        cls = _of_peer(name)
        for member in sorted(dir(cls)):
            public = not member.startswith("_") or (
                member in _SPECIAL and any(member in each.__dict__ for each in cls.__mro__[:-1])
            )
            if public and member not in _FOREIGN:
                yield f"{name}.{member}"


def _get(module_or_peer: str, dotted: str) -> Any:
    owner, _, member = dotted.partition(".")
    found = _of_peer(owner) if module_or_peer == "peer" else getattr(ipyfleet, owner)
    return inspect.getattr_static(found, member) if member else found


def _signature(thing: Any) -> list[tuple[str, Any, Any]] | None:
    """Return name, kind and default of each parameter; None if it cannot be called."""
    if isinstance(thing, classmethod | staticmethod):
        thing = thing.__func__
    thing = getattr(thing, "__wrapped__", thing)
    if isinstance(thing, property) or not callable(thing):
        return None
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        return None
    return [(each.name, each.kind, each.default) for each in parameters]


NAMES = list(_public_names())


@pytest.mark.parametrize("name", sorted({*NAMES} - {*MISSING}))
def test_the_name_is_there(name: str) -> None:
    owner = name.partition(".")[0]
    found = getattr(ipyfleet, owner)
    if "." not in name:
        return
    member = name.partition(".")[2]
    if hasattr(found, member) or member in getattr(found, "_flag_names", ()):
        return
    # Attributes of instances, which a class of traitlets shows and a plain class does not.
    source = "".join(
        inspect.getsource(each) for each in found.__mro__ if each.__module__.startswith("ipyfleet")
    )
    assert f"self.{member} = " in source or f"self.{member}: " in source, f"{name} is missing"


@pytest.mark.parametrize("name", sorted({*NAMES} - {*MISSING} - {*DIFFERENT}))
def test_the_signature_is_the_same(name: str) -> None:
    try:
        ours = _signature(_get("ours", name))
    except AttributeError:
        return  # an attribute of instances
    theirs = _signature(_get("peer", name))
    if theirs is None or ours is None:
        return
    assert ours == theirs


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_list_of_differences_is_true(name: str) -> None:
    assert name in NAMES
    assert _signature(_get("ours", name)) != _signature(_get("peer", name))


@pytest.mark.parametrize("name", MISSING)
def test_what_is_listed_as_missing_is(name: str) -> None:
    owner, _, member = name.partition(".")
    found = getattr(ipyfleet, owner, None)
    assert found is None or (member and not hasattr(found, member))


def test_constructors_are_the_same() -> None:
    """Classes of traitlets hide the signature of their constructor."""
    ours = _signature(ipyfleet.Client.__init__)
    theirs = _signature(peer.Client.__init__)
    assert ours == theirs
    assert _signature(ipyfleet.Metadata.__init__) is not None


def test_every_error_has_the_same_bases() -> None:
    errors = importlib.import_module("ipyparallel.error")
    for name, theirs in vars(errors).items():
        if isinstance(theirs, type) and issubclass(theirs, Exception):
            ours = getattr(importlib.import_module("ipyfleet.error"), name)
            bases = [base.__name__ for base in theirs.__mro__]
            assert [base.__name__ for base in ours.__mro__] == bases, name
