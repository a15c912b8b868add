"""The overlay modules ``ipyparallel.…`` of engine processes, with and without the real package.

Each test runs a function of this file in a process of its own, because `install` changes the
import system.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import ipyfleet.error
import pytest

PACKAGE = Path(ipyfleet.error.__file__).parent

# Hides an installed ipyparallel from the child; ipyfleet.compat needs the standard library only.
HIDE_REAL = """
import os, sys
sys.path[:] = [p for p in sys.path if not os.path.isdir(os.path.join(p, "ipyparallel"))]
"""


def run(
    function: Callable[[], None], python: str = sys.executable, prelude: str = HIDE_REAL
) -> str:
    """Run the body of a function in a new process and return what it prints."""
    body = textwrap.dedent("".join(inspect.getsource(function).splitlines(keepends=True)[1:]))
    # A directory with nothing but ipyfleet: the one it is installed in may hold ipyparallel, too.
    with tempfile.TemporaryDirectory(prefix="ipf-compat-") as alone:
        (Path(alone) / "ipyfleet").symlink_to(PACKAGE)
        done = subprocess.run(
            [python, "-W", "ignore", "-c", f"{prelude}\n{body}"],
            env={**os.environ, "PYTHONPATH": alone},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def real_python() -> str:
    """Return a Python that has the real package."""
    python = os.environ.get("IPF_PEER_PYTHON") or sys.executable
    probe = subprocess.run([python, "-c", "import ipyparallel"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no ipyparallel in this Python; set IPF_PEER_PYTHON to one that has it")
    return python


# ---------------------------------------------------------------- without the real package


def check_names() -> None:
    import importlib

    from ipyfleet import compat

    compat.install()
    compat.install()
    wanted = {
        "ipyparallel": "RemoteError Reference interactive require depend dependent can uncan",
        "ipyparallel.serialize": "Reference PrePickled can serialize_object use_cloudpickle",
        "ipyparallel.serialize.canning": "CannedFunction CannedArray use_dill can_map Reference",
        "ipyparallel.serialize.codeutil": "code_ctor",
        "ipyparallel.serialize.serialize": "PrePickled deserialize_object pickle",
        "ipyparallel.util": "_push _pull _execute interactive get_ipython",
        "ipyparallel.controller.dependency": "dependent depend require _require",
        "ipyparallel.error": "UnmetDependency RemoteError CompositeError wrap_exception",
        "ipyparallel.client.remotefunction": "_map",
        "ipyparallel.client.view": "get_ipython",
        "ipyparallel.engine.datapub": "publish_data",
        "ipyparallel.datapub": "publish_data",
    }
    for module, names in wanted.items():
        found = importlib.import_module(module)
        for name in names.split():
            getattr(found, name)
    from ipyparallel.serialize import canning as by_attribute

    assert by_attribute is importlib.import_module("ipyparallel.serialize.canning")
    print("ok")


def test_every_name_that_clients_send_is_importable() -> None:
    assert run(check_names) == "ok\n"


def check_pickles() -> None:
    import pickle
    import pickletools

    from ipyfleet import canning, compat, error, serialize

    compat.install()
    f = eval("lambda x: x", {"__name__": "__main__"})
    dep = canning.depend(len)(f)
    objects = [f, b"b", memoryview(b"m"), canning.Reference("r"), dep, serialize.PrePickled(1)]
    frame = serialize.serialize_object(objects)[0]
    strings = [a for _, a, _ in pickletools.genops(frame) if isinstance(a, str)]
    assert not [s for s in strings if s.startswith("ipyfleet") or s == "importlib"], strings
    for obj in (error.UnmetDependency, compat._push, compat._map, canning.use_dill):
        assert b"ipyparallel." in pickle.dumps(obj), obj
        assert pickle.loads(pickle.dumps(obj)) is obj
    import ipyparallel.error

    assert ipyparallel.error.UnmetDependency is error.UnmetDependency
    print(type(pickle.loads(frame)[0]) is canning.CannedFunction)


def test_plain_pickle_uses_wire_names_in_engines() -> None:
    assert run(check_pickles) == "True\n"


def check_absence() -> None:
    from ipyfleet import compat

    compat.install()
    import ipyparallel

    try:
        ipyparallel.Client  # noqa: B018
    except AttributeError as exc:
        print(exc)
    try:
        import ipyparallel.client.client
    except ModuleNotFoundError as exc:
        print(exc, exc.name)
    try:
        from ipyparallel.util import nothing_like_it  # noqa: F401
    except ImportError as exc:
        print(type(exc).__name__)
    print(hasattr(ipyparallel, "__file__"), hasattr(ipyparallel.client, "cluster"))


def test_names_of_the_absent_package_are_refused_in_clear_words() -> None:
    attribute, module, other, has = run(check_absence).splitlines()
    assert "'ipyparallel' has no attribute 'Client'" in attribute
    assert "install ipyparallel here" in attribute
    assert "No module named 'ipyparallel.client.client'" in module
    assert "install ipyparallel here" in module
    assert module.endswith(" ipyparallel.client.client")
    assert other == "ImportError"
    assert has == "False False"


def check_order() -> None:
    import sys
    import types

    sys.modules["ipyparallel"] = types.ModuleType("ipyparallel")
    from ipyfleet import compat

    try:
        compat.install()
    except RuntimeError as exc:
        print(exc)


def test_installing_after_the_real_import_is_refused() -> None:
    assert "imported before ipyfleet.compat.install()" in run(check_order)


def check_uninstall() -> None:
    import copyreg
    import pickle
    import sys
    import types

    from ipyfleet import canning, compat, serialize

    before = list(sys.meta_path)
    compat.install()
    import ipyparallel.serialize

    compat.uninstall()
    assert sys.meta_path == before
    assert not [name for name in sys.modules if name.startswith("ipyparallel")]
    assert canning.CannedFunction.__module__ == "ipyfleet.canning"
    assert types.CodeType not in copyreg.dispatch_table
    assert b"ipyfleet" in pickle.dumps(canning.Reference("x"))
    assert b"ipyfleet" not in serialize.dumps(canning.Reference("x"))
    try:
        import ipyparallel.error  # noqa: F401
    except ModuleNotFoundError:
        print("gone")


def test_install_can_be_undone() -> None:
    assert run(check_uninstall) == "gone\n"


def check_travelling_functions() -> None:
    import pickle
    import sys
    import types

    from ipyfleet import canning, compat

    compat.install()

    def travel(source: str, module: str) -> types.FunctionType:
        scope: dict[str, object] = {"__name__": module}
        exec(source, scope)
        del scope["__builtins__"], scope["__name__"]
        (f,) = scope.values()
        return canning.CannedFunction(f).get_object({})

    class Fake:
        Pickler = pickle.Pickler

    sys.modules["cloudpickle"] = Fake  # type: ignore[assignment]
    # The shape of the helpers that clients send; they rely on globals of their home module.
    choose = travel(
        "def use():\n import cloudpickle\n from . import serialize\n"
        " serialize.pickle = cloudpickle\n can_map.pop(FunctionType, None)",
        "ipyparallel.serialize.canning",
    )
    choose()
    assert canning.backend is Fake
    assert types.FunctionType not in canning.can_map
    back = travel(
        "def back():\n from . import serialize\n serialize.pickle = pickle\n"
        " can_map[FunctionType] = _original_can_map[FunctionType]",
        "ipyparallel.serialize.canning",
    )
    back()
    assert canning.backend is pickle
    assert canning.can_map[types.FunctionType] is canning.CannedFunction
    assert "asyncio" not in sys.modules
    worker = travel(
        "def w():\n def inner(): return asyncio.__name__\n return inner()", "ipyparallel.util"
    )
    print(worker())


def test_functions_sent_with_their_code_find_their_globals() -> None:
    assert run(check_travelling_functions) == "asyncio\n"


def check_push_pull() -> None:
    import IPython
    from ipyfleet import compat

    compat.install()
    ns: dict[str, object] = {"d": {}, "items": [1, 2]}

    class Shell:
        user_global_ns = ns

    IPython.get_ipython = Shell
    from ipyparallel.util import _execute, _pull, _push

    _push(a=1, **{"d['k']": 2, "items[0]": 3, "x, y": (4, 5)})
    _execute("z = a + 1")
    print({k: v for k, v in ns.items() if not k.startswith("__")})
    print(_pull("a"), _pull(["d['k']", "a + y"]))


def test_push_pull_and_execute_work_on_the_user_namespace() -> None:
    assert run(check_push_pull, prelude="").splitlines() == [
        "{'d': {'k': 2}, 'items': [3, 2], 'a': 1, 'x': 4, 'y': 5, 'z': 2}",
        "1 [2, 6]",
    ]


# ---------------------------------------------------------------- with the real package


def check_laziness() -> None:
    import inspect
    import sys
    import traceback

    from ipyfleet import compat

    compat.install()
    import ipyparallel
    import ipyparallel.error
    import ipyparallel.serialize.canning
    import ipyparallel.util
    from ipyparallel import Reference, RemoteError  # noqa: F401

    # Things that ask every module for everything.
    inspect.getmodule(compat)
    traceback.format_exc()
    for module in list(sys.modules.values()):
        getattr(module, "surely_nobody_has_this", None)
        getattr(module, "__wrapped__", None)
    assert ipyparallel.__file__.endswith("ipyparallel/__init__.py")
    print("zmq" in sys.modules, "jupyter_client" in sys.modules)


def test_the_real_package_is_not_loaded_before_it_is_needed(real_python: str) -> None:
    assert run(check_laziness, real_python, "") == "False False\n"


def check_real_package() -> None:
    import sys

    from ipyfleet import canning, compat, error, serialize

    compat.install()
    f = eval("lambda x: x", {"__name__": "__main__"})
    before = serialize.serialize_object([f, b"x"])
    import ipyparallel as ipp

    ours = dict(vars(ipp))
    assert "zmq" not in sys.modules
    client = ipp.Client
    assert "zmq" in sys.modules
    assert client.__module__ == "ipyparallel.client.client"
    from ipyparallel.client.view import LoadBalancedView
    from ipyparallel.controller.dependency import Dependency

    assert ipp.LoadBalancedView is LoadBalancedView
    assert Dependency(["a"]).check({"a"})
    # Pickle identity is still ours.
    assert ipp.RemoteError is error.RemoteError
    assert ipp.Reference is canning.Reference
    assert ipp.serialize.canning.CannedFunction is canning.CannedFunction
    assert ipp.serialize.codeutil.code_ctor is canning.code_ctor
    assert serialize.serialize_object([f, b"x"]) == before
    changed = [n for n in ours if not n.startswith("_") and getattr(ipp, n) is not ours[n]]
    print(changed)


def test_the_real_package_appears_when_it_is_needed(real_python: str) -> None:
    assert run(check_real_package, real_python, "") == "[]\n"


def print_public_names() -> None:
    import sys

    if "overlay" in sys.argv:
        from ipyfleet import compat

        compat.install()
    import ipyparallel as ipp

    ipp.Client  # noqa: B018
    import ipyparallel.util as util
    from ipyparallel.serialize import canning

    util.is_url("x")
    canning.CannedFunction  # noqa: B018
    for module in (ipp, util):
        print(sorted(name for name in vars(module) if not name.startswith("_")))


def test_nothing_of_the_real_package_is_lost(real_python: str) -> None:
    real = run(print_public_names, real_python, "")
    overlay = run(print_public_names, real_python, "import sys; sys.argv.append('overlay')")
    for ours, theirs in zip(overlay.splitlines(), real.splitlines(), strict=True):
        assert set(eval(theirs)) <= set(eval(ours))


@pytest.mark.parametrize(
    "first",
    [
        "import ipyparallel.client.asyncresult",
        "from ipyparallel.client.view import DirectView",
        "from ipyparallel.util import compare_datetimes",
        "from ipyparallel.controller.dependency import Dependency",
        "import ipyparallel.cluster",
        "from ipyparallel import *",
    ],
)
def test_any_door_into_the_real_package_opens_all_of_it(real_python: str, first: str) -> None:
    def check() -> None:
        import ipyparallel as ipp

        names = "Client Dependency LoadBalancedView AsyncResult Cluster ParallelFunction require"
        print(sum(hasattr(ipp, name) for name in names.split()))

    prelude = f"from ipyfleet import compat\ncompat.install()\n{first}"
    assert run(check, real_python, prelude) == "7\n"


def check_failure_to_load() -> None:
    import sys

    from ipyfleet import canning, compat

    compat.install()
    import ipyparallel

    sys.modules["zmq"] = None  # type: ignore[assignment]  # makes the import fail
    try:
        ipyparallel.Client  # noqa: B018
    except ImportError as exc:
        print("zmq" in str(exc))
    from ipyparallel.serialize.canning import Reference

    print(ipyparallel.Reference is Reference is canning.Reference)


def test_a_broken_real_package_leaves_our_names_usable(real_python: str) -> None:
    assert run(check_failure_to_load, real_python, "") == "True\nTrue\n"
