"""What the documents show of the client and its views, as it is written there.

Where a document says ``import ipyparallel``, that is this package under that name.
"""

from __future__ import annotations

import json
import re
from textwrap import indent

import pytest

from .conftest import Home

AS_IPYPARALLEL = "import ipyfleet\n\nipyfleet.install_as_ipyparallel()\n"
NOTEBOOK = """\
import ipyparallel as parallel
rc = parallel.Client()
rc.block = True

def mul(a, b):
    return a * b

def summary():
    import os
    import socket
    import sys
    return {
        "cwd": os.getcwd(),
        "Python": sys.version,
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
    }
"""


@pytest.mark.seeds(37, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48)
def test_the_notebook(home: Home) -> None:
    shown = home.python(
        AS_IPYPARALLEL
        + NOTEBOOK
        + """
print(rc.ids)
print(mul(5, 6), sorted(summary()))
print(rc[0].apply(mul, 5, 6))
of_first = rc[0].apply(summary)
print(rc[:].apply(mul, 5, 6))
of_all = rc[:].apply(summary)
print([of_first["pid"] == each["pid"] for each in of_all], len({each["pid"] for each in of_all}))
print(list(map(mul, range(1, 10), range(2, 11))))
view = rc.load_balanced_view()
print(list(view.map(mul, range(1, 20), range(2, 21))))
rc.close()
"""
    )
    products = [n * (n + 1) for n in range(1, 20)]
    assert shown.splitlines() == [
        "[0, 1, 2, 3]",
        "30 ['Python', 'cwd', 'hostname', 'pid']",
        "30",
        "[30, 30, 30, 30]",
        "[True, False, False, False] 4",
        str(products[:9]),
        str(products),
    ]


@pytest.mark.seeds(39)
def test_the_notebook_with_our_name(home: Home) -> None:
    text = (
        NOTEBOOK.replace("ipyparallel", "ipyfleet") + "print(rc[:].apply(mul, 5, 6))\nrc.close()\n"
    )
    assert home.python(text) == "[30, 30, 30, 30]\n"


@pytest.mark.seeds(49)
def test_a_parallel_cell(home: Home) -> None:
    shown = home.python(
        """\
from IPython.testing.globalipapp import start_ipython

ip = start_ipython()
cells = [
    "import ipyfleet as parallel\\nrc = parallel.Client()\\nrc.block = True",
    "%%px\\nimport os\\nimport socket\\n"
    "print('pid:', os.getpid())\\nprint('hostname:', socket.gethostname())",
]
for cell in cells:
    ip.run_cell(cell).raise_error()
ip.user_ns["rc"].close()
""",
        *("-W", "ignore"),
    )
    outputs = re.findall(r"\[stdout:(\d)\] ?\npid: (\d+)\nhostname: (\S+)\n", shown)
    assert sorted(engine for engine, _, _ in outputs) == ["0", "1", "2", "3"]
    assert len({pid for _, pid, _ in outputs}) == 4


@pytest.mark.seeds(62, 63, 64, 65)
def test_the_overview(home: Home) -> None:
    shown = home.python(
        """\
import ipyfleet as ipp
with ipp.Client() as rc:
    rc.wait_for_engines(n=4)
    print(rc.ids)
    print(rc[:].apply_sync(lambda: "Hello, World"))
"""
    )
    assert shown == f"[0, 1, 2, 3]\n{['Hello, World'] * 4}\n"


@pytest.mark.seeds(5, 35)
def test_views_are_at_the_top_level_and_can_be_extended(home: Home) -> None:
    shown = home.python(
        AS_IPYPARALLEL
        + """\
import ipyparallel
from ipyparallel import Client, DirectView, LoadBalancedView

class Doubled(ipyparallel.DirectView):
    def apply(self, f, /, *args, **kwargs):
        return super().apply(f, *args, **kwargs) * 2

class Noisy(ipyparallel.LoadBalancedView):
    def map(self, f, *sequences, **kwargs):
        print("a map over", len(sequences[0]))
        return super().map(f, *sequences, **kwargs)

rc = Client()
print(isinstance(rc[:], DirectView), isinstance(rc.load_balanced_view(), LoadBalancedView))
print(Doubled(rc, targets=[0, 1], block=True).apply(pow, 2, 3))
print(Noisy(rc).map_sync(abs, [-1, 2]))
rc.close()
"""
    )
    assert shown == "True True\n[8, 8, 8, 8]\na map over 2\n[1, 2]\n"


@pytest.mark.seeds(4, 54, 73)
def test_submitting_is_asynchronous_while_an_engine_blocks(home: Home) -> None:
    shown = home.python(
        """\
import time
import ipyfleet as ipp

with ipp.Client() as rc:
    e0 = rc[0]
    sleeping = e0.apply_async(time.sleep, 1)
    e0.push({"x": 5})
    results = [e0.apply_async(lambda n: x + n, n) for n in range(100)]
    print(sleeping.ready(), any(result.ready() for result in results))
    print([result.get() for result in results] == list(range(5, 105)), sleeping.ready())
"""
    )
    assert shown == "False False\nTrue True\n"


@pytest.mark.seeds(52)
def test_a_collaborator_pulls_the_data(home: Home) -> None:
    owner = "rc[:]['rank'] = 0\nrc[:].scatter('data', list(range(16)), block=True)\n"
    guest = "print(rc[:].gather('data', block=True))\nprint(rc[2]['data'])\n"
    opened = "import ipyfleet as ipp\nwith ipp.Client() as rc:\n"
    assert home.python(opened + indent(owner, "    ")) == ""
    assert home.python(opened + indent(guest, "    ")) == f"{list(range(16))}\n[8, 9, 10, 11]\n"


@pytest.mark.seeds(52)
def test_different_programs_on_different_engines(home: Home) -> None:
    shown = home.python(
        """\
import ipyfleet as ipp

with ipp.Client() as rc:
    producers, consumers = rc[::2], rc[1::2]
    made = producers.execute("part = 'made'")
    used = consumers.execute("part = 'used'")
    made.wait(), used.wait()
    print(rc[:]["part"])
    farm = rc.load_balanced_view(targets=consumers.targets)
    pids = set(rc[1::2].apply_sync(__import__("os").getpid))
    print(set(farm.map_sync(lambda _: __import__("os").getpid(), range(8))) <= pids)
"""
    )
    assert shown == "['made', 'used', 'made', 'used']\nTrue\n"


@pytest.mark.seeds(70, 71)
@pytest.mark.parametrize("apply", ["apply_sync", "apply_async"])
def test_the_example_that_fails_upstream(home: Home, apply: str) -> None:
    shown = home.python(
        AS_IPYPARALLEL
        + f"""\
import os
import ipyparallel as ipp

def task():
    import os
    return os.getpid()

with ipp.Cluster(n=4) as rc:
    e_all = rc[:]
    ar = e_all.{apply}(task)
    ar.wait_interactive()
    results = ar.get()
print(len(set(results)), rc.closed)
"""
    )
    assert shown.splitlines()[-1] == "4 True"


@pytest.mark.seeds(75, 90, 91, 92, 93)
def test_ipython1(home: Home) -> None:
    """The port is that of the cluster; ``print`` is the function of Python 3."""
    (file,) = home.root.glob(".ipython/profile_default/security/ipcontroller-client.json")
    port = json.loads(file.read_text())["registration"]
    shown = home.python(
        f"""\
from ipyfleet import ipython1
ipython1.install()

from ipython1.kernel import client
mec = client.MultiEngineController(('127.0.0.1',{port}))
print(mec.get_ids())
print(mec.execute('print("Hello World")'))
tc = client.TaskController(('127.0.0.1',{port}))
print(mec.push({{"a": 5}}, block=True), tc.map_sync(abs, [-1, -2]))
print(mec.execute("a + 1", targets=2))
try:
    client.TaskClient(('127.0.0.1', 1))
except FileNotFoundError as failure:
    print(failure)
mec.client.close()
tc.client.close()
"""
    )
    lines = shown.splitlines()
    assert lines[:2] == ["[0, 1, 2, 3]", "<Results List>"]
    for engine in range(4):
        code, text = lines[2 + 2 * engine : 4 + 2 * engine]
        number = re.match(rf"\[{engine}\] In \[(\d+)\]: print\(\"Hello World\"\)$", code)
        assert number, code
        assert text == f"[{engine}] Out[{number[1]}]: Hello World"
    assert lines[10] == "[None, None, None, None] [1, 2]"
    assert re.fullmatch(r"\[2\] Out\[\d+\]: 6", lines[13])
    assert "that of a controller at 127.0.0.1:1; start it with: ipcontroller" in lines[14]
