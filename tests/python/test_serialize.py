"""Serialization: round trips, wire layout, and exchange with the real ipyparallel."""

from __future__ import annotations

import base64
import functools
import inspect
import json
import os
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

import pytest
from ipyfleet import canning, serialize
from ipyfleet.error import SerializationError, UnmetDependency
from ipyfleet.serialize import (
    PrePickled,
    Reference,
    deserialize_object,
    pack_apply_message,
    serialize_object,
    unpack_apply_message,
)

BIG = bytes(range(256)) * 5  # 1280 bytes, more than the threshold


def roundtrip(obj: Any, g: dict[str, Any] | None = None) -> Any:
    frames = [memoryview(bytes(frame)) for frame in serialize_object(obj)]
    found, rest = deserialize_object(frames, g)
    assert rest == []
    return found


def in_main(source: str, name: str) -> Any:
    """Define something as if it had been typed in."""
    return run_in_main(source)[name]


def run_in_main(source: str) -> dict[str, Any]:
    """Run code as if it had been typed in, without the __future__ imports of this file."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<typed in>", "exec", dont_inherit=True), namespace)
    return namespace


def globals_in(frame: Any) -> set[str]:
    """Return the globals that a pickle refers to, as ``module name`` strings."""
    strings: list[str] = []
    found: set[str] = set()
    for opcode, argument, _ in pickletools.genops(bytes(frame)):
        if opcode.name.endswith("UNICODE"):
            strings.append(argument)
        elif opcode.name == "STACK_GLOBAL":
            found.add(" ".join(strings[-2:]))
    return found


# ---------------------------------------------------------------- buffers


@pytest.mark.parametrize("size", [0, 1, 1024, 1025])
@pytest.mark.parametrize("make", [bytes, lambda n: memoryview(bytes(n))])
def test_buffers_above_the_threshold_leave_the_pickle(
    size: int, make: Callable[[int], bytes | memoryview]
) -> None:
    frames = serialize_object(make(size))
    assert len(frames) == (2 if size > 1024 else 1)
    found = roundtrip(make(size))
    assert type(found) is type(make(0))
    assert bytes(found) == bytes(size)


def test_large_buffers_are_not_copied() -> None:
    assert serialize_object(BIG)[1] is BIG
    view = roundtrip(memoryview(BIG))
    assert view.obj is not None
    assert view.readonly


def test_the_threshold_can_be_changed() -> None:
    assert len(serialize_object(b"abc", buffer_threshold=2)) == 2


@pytest.mark.parametrize("kind", [list, tuple, set])
@pytest.mark.parametrize("count", [63, 64])
def test_only_small_containers_are_canned_item_by_item(kind: type, count: int) -> None:
    items = kind([BIG + bytes([i]) for i in range(count)])
    assert len(serialize_object(items)) == (1 + count if count < 64 else 1)
    assert roundtrip(items) == items


@pytest.mark.parametrize("count", [63, 64])
def test_only_small_dicts_are_canned_by_value(count: int) -> None:
    items = {f"k{i:02}": BIG + bytes([i]) for i in reversed(range(count))}
    frames = serialize_object(items)
    assert len(frames) == (1 + count if count < 64 else 1)
    if count < 64:
        assert [frame[-1] for frame in frames[1:]] == list(range(count)), "not in key order"
    assert roundtrip(items) == items


def test_a_small_dict_keeps_its_order() -> None:
    assert list(roundtrip({"b": 1, "a": BIG, "c": 2})) == ["b", "a", "c"]


def test_a_small_dict_whose_keys_cannot_be_sorted_still_arrives() -> None:
    assert roundtrip({1: "a", "b": 2, None: BIG}) == {1: "a", "b": 2, None: BIG}


def test_frames_that_follow_are_returned() -> None:
    frames = [*serialize_object([BIG, 1]), b"rest"]
    assert deserialize_object(frames) == ([BIG, 1], [b"rest"])


def test_a_missing_buffer_is_an_error_with_a_name() -> None:
    with pytest.raises(SerializationError, match="not enough buffers"):
        deserialize_object(serialize_object([BIG, BIG])[:2])


def test_prepickled_objects_can_be_sent_again() -> None:
    prepared = PrePickled([BIG])
    assert serialize_object(prepared) == serialize_object([BIG])
    assert deserialize_object(serialize_object(prepared))[0] == [BIG]


# ---------------------------------------------------------------- functions


def test_a_function_of_main_gets_the_namespace_of_the_receiver() -> None:
    f = in_main("def f(x): return x + offset", "f")
    namespace = {"offset": 10}
    found = roundtrip(f, namespace)
    assert found(1) == 11
    assert found.__globals__ is namespace


def test_a_function_of_a_module_keeps_the_globals_of_the_module() -> None:
    found = roundtrip(base64.b64encode, {})
    assert found is not base64.b64encode
    assert found.__globals__ is vars(base64)


def test_defaults_annotations_and_closures_arrive() -> None:
    def make(n: int) -> Callable[..., Any]:
        def f(a: int, b: list[int] = [7], *, c: bytes = BIG) -> tuple[Any, ...]:  # noqa: B006
            return a, b, c, n

        return f

    f = make(5)
    f.__module__ = "__main__"
    f.__annotations__ = {"a": int}
    found = roundtrip(f, {})
    assert found(1) == (1, [7], BIG, 5)
    assert found.__annotations__ == {"a": int}
    assert found.__name__ == "f"


def test_a_closure_over_a_large_buffer_arrives() -> None:
    view = memoryview(BIG)
    f = in_main("def make(v):\n    return lambda: bytes(v)", "make")(view)
    assert roundtrip(f, {})() == BIG


def test_code_objects_carry_everything_the_constructor_takes() -> None:
    parameters = inspect.signature(CodeType).parameters
    wanted = [{"codestring": "code", "constants": "consts"}.get(name, name) for name in parameters]
    assert list(canning.CODE_ATTRIBUTES) == wanted


def test_code_survives_with_exceptions_and_line_numbers() -> None:
    f = in_main(
        "def f(x):\n    try:\n        return 1 / x\n    except ZeroDivisionError:\n"
        "        return 'none'\n",
        "f",
    )
    found = roundtrip(f, {})
    assert (found(0), found(2)) == ("none", 0.5)
    assert list(found.__code__.co_lines()) == list(f.__code__.co_lines())
    assert found.__code__ == f.__code__


def test_partials_arrive_with_their_buffers() -> None:
    f = in_main("def f(*args, **kwargs): return args, kwargs", "f")
    sent = functools.partial(f, 1, BIG, memoryview(BIG), z=BIG + b"z", a=2)
    frames = serialize_object(sent)
    assert len(frames) == 4
    args, kwargs = roundtrip(sent, {})()
    assert (args[0], args[1], bytes(args[2])) == (1, BIG, BIG)
    assert kwargs == {"z": BIG + b"z", "a": 2}


def test_classes_of_main_arrive_with_their_parents() -> None:
    source = "class A:\n    a = 5\n    def get(self): return self.a\nclass B(A):\n    b = 6\n"
    found = roundtrip({"B": in_main(source, "B")})["B"]
    assert (found.a, found.b, found().get()) == (5, 6, 5)
    assert found.__name__ == "B"


def test_classes_of_modules_travel_by_name() -> None:
    assert roundtrip([pickle.Pickler, int]) == [pickle.Pickler, int]


def test_references_are_evaluated_by_the_receiver() -> None:
    namespace = {"x": [4, 5]}
    assert roundtrip([Reference("x[1]"), {"deep": Reference("x")}], namespace) == [
        5,
        {"deep": [4, 5]},
    ]


def test_a_reference_needs_a_string() -> None:
    with pytest.raises(TypeError, match="needs the name as a string"):
        Reference(5)  # type: ignore[arg-type]


def test_interactive_functions_belong_to_main() -> None:
    @canning.interactive
    def f(x: int, *, y: int = 2) -> int:
        """Add."""
        return x + y + z  # type: ignore[name-defined] # noqa: F821

    assert (f.__module__, f.__doc__) == ("__main__", "Add.")
    assert roundtrip(f, {"z": 3})(1) == 6


# ---------------------------------------------------------------- arrays

ARRAYS = [
    "np.arange(1000.)",
    "np.arange(12).reshape(3, 4)",
    "np.arange(1000).reshape(10, 100).T",
    "np.arange(2000)[::2]",
    "np.array(5)",
    "np.zeros(0)",
    "np.zeros((0, 5))",
    "np.zeros((3, 0, 2), 'i4')",
    "np.array([1, 'a', None], dtype=object)",
    "np.array([(1, 2.5, b'x')] * 100, dtype=[('n', 'i4'), ('f', 'f8'), ('s', 'S3')])",
    "np.array([(1, None)] * 3, dtype=[('n', 'i4'), ('o', 'O')])",
    "np.array(['abc', 'd'])",
    "np.arange(500, dtype='>i4')",
    "np.array([True, False])",
]
# The reference cannot send these; it can read what we make of them.
ARRAYS_OF_OURS = [
    "np.arange(300).astype('M8[s]')",
    "np.zeros(3, dtype=np.dtype([('a', 'u1'), ('b', 'f8')], align=True))",
]


@pytest.mark.parametrize("source", ARRAYS + ARRAYS_OF_OURS)
def test_arrays_arrive_as_they_were(source: str) -> None:
    np = pytest.importorskip("numpy")
    array = eval(source, {"np": np})
    for sent in (array, [array], {"k": array}):
        found = roundtrip(sent)
        found = found if sent is array else found[0 if isinstance(sent, list) else "k"]
        assert found.shape == array.shape
        assert found.dtype == array.dtype
        assert found.tolist() == array.tolist()


def test_the_data_of_a_large_array_is_not_copied() -> None:
    np = pytest.importorskip("numpy")
    array = np.arange(1000.0)
    frames = serialize_object(array)
    assert len(frames) == 2
    array[0] = 99
    assert memoryview(frames[1]).cast("B").cast("d")[0] == 99


def test_serializing_does_not_import_numpy() -> None:
    source = (
        "import sys; from ipyfleet import serialize as s; s.serialize_object([object, b'', {}])"
    )
    check = f"{source}; print('numpy' in sys.modules, 'IPython' in sys.modules)"
    path = os.pathsep.join(sys.path)
    out = subprocess.check_output([sys.executable, "-c", check], env={"PYTHONPATH": path})
    assert out.decode().split() == ["False", "False"]


# ---------------------------------------------------------------- calls


def test_a_call_has_the_layout_of_the_protocol() -> None:
    f = in_main("def f(*a, **k): return a, k", "f")
    frames = pack_apply_message(f, (1, [BIG, 2]), {"z": 3, "b": BIG})
    assert len(frames) == 2 + 3 + 3
    assert pickle.loads(frames[1]) == {"nargs": 2, "narg_bufs": 3, "kw_keys": ["b", "z"]}
    assert pickle.loads(frames[2]) == 1
    assert frames[4] == BIG
    assert frames[6] == BIG
    assert pickle.loads(frames[7]) == 3
    g, args, kwargs = unpack_apply_message(frames, {})
    assert g(*args, **kwargs) == ((1, [BIG, 2]), {"z": 3, "b": BIG})


def test_buffers_of_the_function_come_before_info() -> None:
    f = in_main("def f(x): return x", "f")
    frames = pack_apply_message(functools.partial(f, BIG), (), {})
    assert frames[1] == BIG
    assert pickle.loads(frames[2]) == {"nargs": 0, "narg_bufs": 0, "kw_keys": []}
    g, args, kwargs = unpack_apply_message(frames, {})
    assert g(*args, **kwargs) == BIG


@pytest.mark.parametrize("frames", [[], [b"x"]])
def test_a_call_without_buffers_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(AssertionError, match="not enough buffers!"):
        unpack_apply_message(frames)


@pytest.mark.parametrize(("cut", "add"), [(1, []), (0, [b"\x80\x04N."])])
def test_a_call_with_wrong_buffers_is_refused(cut: int, add: list[bytes]) -> None:
    frames = pack_apply_message(in_main("def f(): pass", "f"), (1,), {"k": 2})
    with pytest.raises(SerializationError):
        unpack_apply_message(frames[: len(frames) - cut] + add, {})


def test_every_call_gets_a_new_function_with_the_right_globals() -> None:
    source = "def f(a: int = 1, *, b: int = 2):\n    return a + b + c"
    frames = pack_apply_message(in_main(source, "f"), (), {})
    one, two = {"c": 1}, {"c": 100}
    f = unpack_apply_message(frames, one)[0]
    g = unpack_apply_message(frames, two)[0]
    assert f is not g
    assert f.__code__ is g.__code__, "the code object was built again"
    assert (f(), g()) == (4, 103)
    for made in (f, g):
        made.__kwdefaults__["b"] = 50
        made.__annotations__["a"] = str
    h = unpack_apply_message(frames, one)[0]
    assert (h.__kwdefaults__, h.__annotations__) == ({"b": 2}, {"a": int, "b": int})


def test_mutable_defaults_are_not_shared_between_calls() -> None:
    frames = pack_apply_message(in_main("def f(x=[]):\n    x.append(1)\n    return x", "f"), (), {})
    for _ in range(3):
        assert unpack_apply_message(frames, {})[0]() == [1]


def test_closures_are_not_shared_between_calls() -> None:
    source = "def make():\n  n = [0]\n  def f():\n    n[0] += 1\n    return n[0]\n  return f"
    frames = pack_apply_message(in_main(source, "make")(), (), {})
    for _ in range(3):
        assert unpack_apply_message(frames, {})[0]() == 1


def test_the_function_cache_is_bounded() -> None:
    for i in range(serialize._CACHE_ENTRIES + 20):
        unpack_apply_message(pack_apply_message(in_main(f"def f(): return {i}", "f"), (), {}), {})
    assert len(serialize._functions) == serialize._CACHE_ENTRIES


# ---------------------------------------------------------------- dependencies


def test_a_met_dependency_lets_the_function_run() -> None:
    f = in_main("def f(x): return x * 2", "f")
    wrapped = canning.depend(in_main("def df(ok): return ok", "df"), True)(f)
    assert roundtrip_local(wrapped)(4) == 8


def test_an_unmet_dependency_is_raised_while_unpacking() -> None:
    wrapped = canning.depend(in_main("def df(ok): return ok", "df"), False)(len)
    with pytest.raises(UnmetDependency):
        roundtrip_local(wrapped)


def roundtrip_local(obj: Any) -> Any:
    """Round trip of a dependent: its hook is bound to a module that only engines have."""
    canned = canning.can(obj)
    canned.hook.module = "__main__"
    return canning.uncan(serialize.loads(serialize.dumps(canned)), {})


def test_require_accepts_names_modules_and_functions() -> None:
    made = canning.require("json", os, len, value=b"x")
    assert made.args == ("json", "os")
    assert sorted(made.kwargs) == ["len", "value"]
    assert isinstance(made.kwargs["value"], canning.CannedBytes)


def test_require_refuses_objects_without_a_name() -> None:
    with pytest.raises(TypeError, match="give a int by keyword"):
        canning.require(5)


# ---------------------------------------------------------------- names on the wire


def test_pickles_name_our_classes_by_their_wire_names() -> None:
    f = in_main("def f(): pass", "f")
    frame = serialize_object([f, BIG, b"s", memoryview(b"m"), Reference("x"), PrePickled(1)])[0]
    strings = {a for o, a, _ in pickletools.genops(bytes(frame)) if isinstance(a, str)}
    assert b"ipyfleet" not in frame
    for name in ("CannedFunction", "CannedBytes", "CannedMemoryView", "Reference", "code_ctor"):
        assert name in strings
    assert "ipyparallel.serialize.canning" in strings
    assert globals_in(frame) <= {
        "copyreg _reconstructor",
        "builtins getattr",
        "builtins object",
        "importlib import_module",
    }, "a global that a peer may not have"


def test_loads_maps_wire_names_to_our_classes_without_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ipyparallel", None)  # an import would fail
    frame = (
        b"\x80\x04\x8c\x1dipyparallel.serialize.canning\x8c\x09Reference\x93)\x81"
        b"}(\x8c\x04name\x8c\x01q\x8c\x07buffers]ub."
    )
    found = serialize.loads(frame)
    assert type(found) is Reference
    assert found.name == "q"
    error = serialize.loads(b"\x80\x04\x8c\x11ipyparallel.error\x8c\x0fUnmetDependency\x93.")
    assert error is UnmetDependency


def test_cloudpickle_can_be_chosen_and_left() -> None:
    pytest.importorskip("cloudpickle")
    f = in_main("def f(n):\n    return f(n - 1) * n if n else 1", "f")
    canning.use_cloudpickle()
    try:
        assert FunctionType not in canning.can_map
        frames = serialize_object([f, BIG])
        assert b"ipyfleet" not in frames[0]
        assert deserialize_object(frames)[0][0](5) == 120
    finally:
        canning.use_pickle()
    assert canning.can_map[FunctionType] is canning.CannedFunction
    assert canning.backend is pickle


def test_users_can_add_types_by_class_and_by_dotted_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canning, "can_map", dict(canning.can_map))
    canning.can_map["fractions.Fraction"] = lambda f: Reference(f"({f.numerator}, {f.denominator})")
    import fractions

    assert roundtrip([fractions.Fraction(1, 3)]) == [(1, 3)]


# ---------------------------------------------------------------- the real reference


def peer_main() -> None:
    """Serve requests with the real ipyparallel; runs in its own process."""
    import base64
    import json
    import sys

    try:
        import numpy  # noqa: F401
    except ImportError:
        sys.path.append(sys.argv[1])
    from ipyparallel.serialize import serialize as s

    def serve(request: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        frames = [memoryview(base64.b64decode(frame)) for frame in request.get("frames", ())]
        ns = sys.modules["__main__"].__dict__
        if request["op"] == "check":
            ns["obj"], rest = s.deserialize_object(frames, ns)
            return {"result": repr((eval(request["source"], ns), len(rest)))}
        if request["op"] == "call":
            f, args, kwargs = s.unpack_apply_message(frames, ns)
            out = s.serialize_object(f(*args, **kwargs))
        else:
            exec(request["source"], ns)
            if request["op"] == "make":
                out = s.serialize_object(ns["obj"])
            else:
                out = s.pack_apply_message(ns["f"], ns["args"], ns["kwargs"])
        return {"frames": [base64.b64encode(bytes(frame)).decode() for frame in out]}

    print(sys.version_info[:2], flush=True)
    for line in sys.stdin:
        try:
            reply = serve(json.loads(line))
        except Exception as exc:
            reply = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(reply), flush=True)


class Peer:
    """A process that serializes with the real package."""

    def __init__(self, python: str) -> None:
        program = f"{inspect.getsource(peer_main)}\npeer_main()\n"
        extra = next((p for p in sys.path if os.path.isdir(os.path.join(p, "numpy"))), "")
        self.process = subprocess.Popen(
            [python, "-W", "ignore", "-c", program, extra],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.version = self.process.stdout.readline().strip()

    def ask(self, op: str, source: str = "", frames: Any = ()) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        packed = [base64.b64encode(bytes(frame)).decode() for frame in frames]
        request = {"op": op, "source": source, "frames": packed}
        self.process.stdin.write(f"{json.dumps(request)}\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        assert "error" not in reply, reply["error"]
        if "frames" in reply:
            return [memoryview(base64.b64decode(frame)) for frame in reply["frames"]]
        return reply["result"]

    def close(self) -> None:
        self.process.communicate(timeout=10)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    python = os.environ.get("IPF_PEER_PYTHON") or sys.executable
    probe = subprocess.run([python, "-c", "import ipyparallel"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no ipyparallel in this Python; set IPF_PEER_PYTHON to one that has it")
    made = Peer(python)
    if made.version != str(sys.version_info[:2]):
        made.close()
        pytest.skip(f"the peer runs Python {made.version}; code objects do not cross versions")
    yield made
    made.close()


# Source that defines obj, and an expression that must come out the same on both sides.
OBJECTS = [
    ("obj = None", "obj"),
    ("obj = {'a': [1, 2.5, 'x'], 'b': (None, True)}", "obj"),
    ("obj = b'small'", "obj"),
    ("obj = bytes(range(256)) * 9", "obj"),
    ("obj = memoryview(bytes(range(256)) * 9)", "(type(obj).__name__, bytes(obj))"),
    ("obj = memoryview(b'small')", "(type(obj).__name__, bytes(obj))"),
    ("obj = [bytes([i]) * 1100 for i in range(63)]", "obj"),
    ("obj = [bytes([i]) * 1100 for i in range(64)]", "obj"),
    ("obj = {chr(97 + i): bytes([i]) * 1100 for i in reversed(range(20))}", "sorted(obj.items())"),
    ("obj = {i: i for i in range(64)}", "obj"),
    ("obj = {b'x' * 1100, 5}", "sorted(map(str, obj))"),
    ("obj = (lambda x: x + 1, 'y')", "(obj[0](1), obj[1])"),
    ("def obj(a, b=2, *c, d=[4], **e): return a, b, c, d, e", "obj(1, 7, 8, z=9)"),
    ("def obj(a: int, b: str = 'q') -> list: return [a, b]", "(obj(1), obj.__annotations__)"),
    (
        "def make(n, b):\n  def g(): return n, bytes(b)\n  return g\nobj = make(3, b'y' * 1100)",
        "obj()",
    ),
    (
        "def obj(x):\n  try:\n    return 1 / x\n  except ArithmeticError as e:\n    return str(e)",
        "obj(0)",
    ),
    (
        "import functools\ndef f(*a, **k): return a, sorted(k.items())\n"
        "obj = functools.partial(f, 1, b'p' * 1100, z=b'q' * 1100, a=3)",
        "obj(9)",
    ),
    (
        "class A:\n  a = 1\n  def get(self): return self.a\nclass obj(A):\n  b = 2",
        "(obj().get(), obj.b)",
    ),
    ("import base64\nobj = base64.b64encode", "(obj.__globals__ is __import__('base64').__dict__)"),
    ("obj = [range(3), {'deep': [b'x' * 2000]}]", "obj"),
    *(
        (f"import numpy as np\nobj = {a}", "(obj.tolist(), obj.dtype.str, obj.shape)")
        for a in ARRAYS
    ),
    (f"import numpy as np\nobj = [{ARRAYS[0]}, {ARRAYS[1]}]", "[a.tolist() for a in obj]"),
]
# What the reference cannot send at all but understands when we send it.
OUR_OBJECTS = [
    *((f"import numpy as np\nobj = {a}", "(obj.tolist(), obj.dtype.str)") for a in ARRAYS_OF_OURS),
    ("obj = {1: 'a', 'b': 2}", "obj"),
    (
        "def make(b):\n  def g(): return bytes(b)\n  return g\nobj = make(memoryview(b'y' * 2000))",
        "obj()",
    ),
]


def _define(source: str) -> tuple[Any, dict[str, Any]]:
    if "numpy" in source:
        pytest.importorskip("numpy")
    namespace = run_in_main(source)
    return namespace["obj"], namespace


@pytest.mark.parametrize(("source", "check"), OBJECTS + OUR_OBJECTS)
def test_the_reference_reads_what_we_send(peer: Peer, source: str, check: str) -> None:
    obj, namespace = _define(source)
    expected = repr((eval(check, namespace), 0))
    assert peer.ask("check", check, serialize_object(obj)) == expected


@pytest.mark.parametrize(("source", "check"), OBJECTS)
def test_we_read_what_the_reference_sends(peer: Peer, source: str, check: str) -> None:
    _, namespace = _define(source)
    expected = repr(eval(check, namespace))
    obj, rest = deserialize_object(peer.ask("make", source), namespace)
    assert rest == []
    assert repr(eval(check, {**namespace, "obj": obj})) == expected


@pytest.mark.parametrize(("source", "check"), OBJECTS)
def test_both_send_the_same_number_of_buffers(peer: Peer, source: str, check: str) -> None:
    theirs = peer.ask("make", source)
    ours = serialize_object(_define(source)[0])
    assert [len(bytes(frame)) for frame in ours[1:]] == [len(frame) for frame in theirs[1:]]


def test_the_same_attributes_are_on_the_wire(peer: Peer) -> None:
    for source, _ in OBJECTS:
        theirs = serialize.loads(peer.ask("make", source)[0])
        ours = serialize.loads(serialize_object(_define(source)[0])[0])
        assert type(ours) is type(theirs), source
        if isinstance(ours, canning.CannedObject):
            assert vars(ours).keys() == vars(theirs).keys(), source


CALL = "def f(a, *b, **k): return a, b, sorted(k.items())"


def test_the_reference_runs_our_calls(peer: Peer) -> None:
    f = in_main(CALL, "f")
    frames = pack_apply_message(f, (1, [BIG, 2]), {"z": BIG, "b": {"x": b"q"}})
    result, rest = deserialize_object(peer.ask("call", frames=frames))
    assert rest == []
    assert result == (1, ([BIG, 2],), [("b", {"x": b"q"}), ("z", BIG)])


def test_we_run_the_calls_of_the_reference(peer: Peer) -> None:
    source = (
        f"{CALL}\nargs = (1, [b'x' * 1100, 2])\nkwargs = {{'z': b'y' * 1100, 'b': {{'x': b'q'}}}}"
    )
    f, args, kwargs = unpack_apply_message(peer.ask("pack", source), {})
    expected = (1, ([b"x" * 1100, 2],), [("b", {"x": b"q"}), ("z", b"y" * 1100)])
    assert f(*args, **kwargs) == expected


def test_references_work_in_both_directions(peer: Peer) -> None:
    peer.ask("make", "x = [4, 5]\nobj = x")
    assert peer.ask("check", "obj", serialize_object([Reference("x[1]")])) == "([5], 0)"
    frames = peer.ask("make", "from ipyparallel import Reference\nobj = [Reference('y')]")
    assert deserialize_object(frames, {"y": "found"})[0] == ["found"]


@pytest.mark.parametrize(("ok", "outcome"), [(True, "'ran'"), (False, "UnmetDependency")])
def test_the_reference_checks_our_dependencies(peer: Peer, ok: bool, outcome: str) -> None:
    f = canning.depend(in_main("def df(ok): return ok", "df"), ok)(
        in_main("def f(): return 'ran'", "f")
    )
    if ok:
        assert peer.ask("check", "obj()", serialize_object(f)) == f"({outcome}, 0)"
    else:
        with pytest.raises(AssertionError, match=outcome):
            peer.ask("check", "obj()", serialize_object(f))


def test_the_reference_understands_our_require(peer: Peer) -> None:
    f = canning.require("colorsys", data=BIG)(
        in_main("def f(): return colorsys.__name__, data", "f")
    )
    assert peer.ask("check", "obj()", serialize_object(f)) == repr((("colorsys", BIG), 0))
