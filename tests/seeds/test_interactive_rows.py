"""Developing, executing, debugging and monitoring parallel code from one interactive session."""

from __future__ import annotations

import pytest

from .conftest import Home

# One session, as somebody would have it: the code is wrong, the engine keeps the traceback, a
# frontend attaches to that engine and looks into it with the debugger, the code is put right.
SESSION = """\
import sys
import time

import ipyfleet as ipp
from jupyter_client.blocking.client import BlockingKernelClient

rc = ipp.Client()
dview = rc[:]

# develop
dview.execute("def share(total, parts):\\n    each = total / parts\\n    return each").get()

# execute
dview.scatter("n", [1, 2, 3, 4], flatten=True).get()
ar = dview.execute("share(10, n - 1)", block=False)
try:
    ar.get(30)
except ipp.CompositeError as error:
    print("failed:", [each[0] for each in error.elist], [each[-1]["engine_id"] for each in
                                                        error.elist])

# monitor
print("queues:", {engine: queue["queue"] for engine, queue in rc.queue_status().items()
                  if engine != "unassigned"})
records = rc.db_query({"msg_id": {"$in": ar.msg_ids}}, keys=["engine_uuid", "completed"])
print("recorded:", len(records), all(each["completed"] for each in records))
slow = rc[1].apply_async(time.sleep, 60)
end = time.monotonic() + 20
while not rc.queue_status()[1]["queue"] and time.monotonic() < end:
    time.sleep(0.01)
print("running on 1:", rc.queue_status()[1]["queue"])
rc.send_signal(2, targets=[1], block=True)
try:
    slow.get(30)
except ipp.RemoteError as error:
    print("interrupted:", error.ename)

# debug
file = sys.argv[0] + ".kernel.json"
rc[0].apply_sync(ipp.bind_kernel, connection_file=file)
kc = BlockingKernelClient(connection_file=file)
kc.load_connection_file()
kc.start_channels()
kc.wait_for_ready(timeout=30)
answers = iter(["p total, parts", "p total / max(parts, 1)", "q"])
said = []
kc.execute_interactive(
    "%debug",
    timeout=30,
    allow_stdin=True,
    stdin_hook=lambda message: kc.input(next(answers)),
    output_hook=lambda message: said.append(message["content"].get("text", "")),
)
kc.stop_channels()
text = "".join(said)
print("debugged:", "each = total / parts" in text, "(10, 0)" in text, "10.0" in text)

# and put right
dview.execute("def share(total, parts):\\n    return total / max(parts, 1)").get()
print("results:", dview.apply_sync(lambda: share(10, n - 1)))
rc.close()
"""


@pytest.mark.seeds(72)
def test_develop_execute_monitor_debug(home: Home) -> None:
    assert home.python(SESSION, "-W", "ignore").splitlines() == [
        "failed: ['ZeroDivisionError'] [0]",
        "queues: {0: 0, 1: 0, 2: 0, 3: 0}",
        "recorded: 4 True",
        "running on 1: 1",
        "interrupted: KeyboardInterrupt",
        "debugged: True True True",
        "results: [10.0, 10.0, 5.0, 3.3333333333333335]",
    ]
