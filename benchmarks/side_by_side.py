"""Compare ipyfleet's controller and engines with ipyparallel's own, in turn, in one sitting.

Both stacks are driven by the same unmodified ``ipyparallel.Client``; what differs is the controller
and the engines. Every figure is measured in rounds A B A B ..., so that a change of the machine's
speed meets both. Printed are medians with minimum and maximum, and the ratio of the medians.

Examples
--------
    python benchmarks/side_by_side.py                       # start-up, memory, client figures
    python benchmarks/side_by_side.py --rounds 5 --json out.json
    python benchmarks/side_by_side.py --wireload PATH       # the controller alone, under raw load
    python benchmarks/side_by_side.py --wireload PATH --only "task W=64" "mux W=64"

``--wireload`` names the load generator, which speaks the wire protocol raw.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent
WAIT_SECONDS = 60.0


@dataclass
class Stack:
    """One running cluster: a controller and engines of one kind in a directory of their own."""

    kind: str
    root: Path
    engines: int
    controller_args: tuple[str, ...] = ()
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    start_seconds: float = 0.0

    @property
    def security(self) -> Path:
        """Directory of the connection files."""
        return self.root / "profile_default" / "security"

    def environment(self) -> dict[str, str]:
        """Environment of all processes of this stack."""
        return {**os.environ, "IPYTHONDIR": str(self.root)}

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start one process in a group of its own."""
        process = subprocess.Popen(
            command,
            env=self.environment(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def command(self, part: str) -> list[str]:
        """Command line of ``controller`` or ``engine``."""
        if self.kind == "ipyfleet":
            return [str(BIN / f"ip{part}")]
        return [sys.executable, "-m", f"ipyparallel.{part}"]

    def start(self) -> None:
        """Start everything and wait until all engines are registered."""
        import ipyparallel as ipp

        began = time.perf_counter()
        self.spawn([*self.command("controller"), *self.controller_args])
        wait_for(lambda: (self.security / "ipcontroller-engine.json").exists(), "connection files")
        for _ in range(self.engines):
            self.spawn(self.command("engine"))
        if self.engines:
            with ipp.Client(self.client_file(), timeout=WAIT_SECONDS) as client:
                wait_for(lambda: len(client.ids) == self.engines, "engines")
        self.start_seconds = time.perf_counter() - began

    def client_file(self) -> str:
        """Path of the client's connection file."""
        return str(self.security / "ipcontroller-client.json")

    def stop(self) -> None:
        """End everything and remove the directory."""
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
        shutil.rmtree(self.root, ignore_errors=True)


def wait_for(condition: object, what: str) -> None:
    """Poll until ``condition()`` is true; TimeoutError names what did not come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.002)
    raise TimeoutError(f"{what}: not there after {WAIT_SECONDS:.0f} s")


@contextmanager
def running(kind: str, engines: int, *controller_args: str) -> Iterator[Stack]:
    """A started stack that is stopped at the end."""
    root = Path(tempfile.mkdtemp(prefix=f"ipf-bench-{kind}-"))
    stack = Stack(kind, root, engines, controller_args)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def tree_rss_mb(pid: int) -> float:
    """Resident memory of a process and its descendants, in MB."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    total, todo = 0.0, [pid]
    while todo:
        current = todo.pop()
        todo += children.get(current, [])
        try:
            pages = int(Path(f"/proc/{current}/statm").read_text().split()[1])
        except OSError:
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return total


def no_op(value: object = None) -> object:
    """The task of all client figures."""
    return value


def client_figures(stack: Stack, tasks: int, calls: int) -> dict[str, float]:
    """What the unmodified client reaches on this stack."""
    import ipyparallel as ipp

    figures = {"start_s": stack.start_seconds}
    figures["controller_rss_mb"] = tree_rss_mb(stack.processes[0].pid)
    figures["engine_rss_mb"] = statistics.mean(tree_rss_mb(p.pid) for p in stack.processes[1:])
    with ipp.Client(stack.client_file(), timeout=WAIT_SECONDS) as client:
        balanced, direct = client.load_balanced_view(), client[client.ids[0]]
        balanced.map_sync(no_op, range(200))
        began = time.perf_counter()
        balanced.map_sync(no_op, range(tasks), chunksize=1)
        figures["map_tasks_per_s"] = tasks / (time.perf_counter() - began)
        for name, call in (("direct", direct.apply_sync), ("balanced", balanced.apply_sync)):
            times = []
            for _ in range(calls):
                began = time.perf_counter()
                call(no_op)
                times.append(time.perf_counter() - began)
            figures[f"{name}_call_us"] = statistics.median(times) * 1e6
    return figures


@dataclass(frozen=True)
class WireRun:
    """One load on the controller alone; the faster stack gets ``factor`` times the tasks."""

    load: str
    tasks: int
    factor: int = 4
    controller: str = ""

    def arguments(self, kind: str) -> list[str]:
        """Of the load generator."""
        tasks = self.tasks * (self.factor if kind == "ipyfleet" else 1)
        return [*self.load.split(), "--tasks", str(tasks)]


WIRE_RUNS = {
    "task W=64": WireRun("--queue task --window 64", 5_000),
    "task W=1": WireRun("--queue task --window 1", 2_500, 2),
    "task K=64 W=256": WireRun("--queue task --engines 64 --window 256", 5_000),
    "task, 10,000 at once": WireRun("--queue task --window 0", 10_000, 1),
    "task, 2 after": WireRun("--queue task --window 64 --after 2", 3_000),
    "task, SQLite": WireRun("--queue task --window 64", 5_000, 4, "--sqlitedb"),
    "task, no database": WireRun("--queue task --window 64", 5_000, 4, "--nodb"),
    "pure W=64": WireRun("--queue task --window 64", 20_000, 2, "--scheme=pure"),
    "mux W=64": WireRun("--queue mux --window 64", 40_000, 2),
    "mux W=1": WireRun("--queue mux --window 1", 5_000, 1),
    "mux 1 MB": WireRun(
        "--queue mux --window 8 --arg-bytes 1000000 --reply-bytes 1000000", 600, 1, "--nodb"
    ),
    "broadcast K=4": WireRun("--queue broadcast", 2_000),
    "coalescing K=64": WireRun("--queue broadcast --coalesce --engines 64", 300),
}


def wire_figures(stack: Stack, wireload: str, extra: list[str]) -> dict[str, float]:
    """The controller alone, under the raw load generator with echo engines."""
    command = [wireload, "--client-file", stack.client_file(), "--engine-file"]
    command += [str(stack.security / "ipcontroller-engine.json")]
    command += ["--pids", str(stack.processes[0].pid), *extra]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    last = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "tasks_per_s": last["tasks_per_s"],
        "p50_us": last["lat_us"]["p50"],
        "controller_cpu_us": last["controller"]["cpu_us_per_task"],
    }


def measure(options: argparse.Namespace) -> dict[str, dict[str, dict[str, list[float]]]]:
    """``{section: {figure: {kind: [values]}}}`` over all rounds."""
    results: dict[str, dict[str, dict[str, list[float]]]] = {}

    def note(section: str, kind: str, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            results.setdefault(section, {}).setdefault(name, {}).setdefault(kind, []).append(value)

    for number in range(1, options.rounds + 1):
        for kind in ("ipyparallel", "ipyfleet"):
            print(f"round {number} of {options.rounds}: {kind}", file=sys.stderr, flush=True)
            if options.wireload:
                for section in options.only or WIRE_RUNS:
                    run = WIRE_RUNS[section]
                    with running(kind, 0, "--ping=500", *run.controller.split()) as stack:
                        load = run.arguments(kind)
                        note(section, kind, wire_figures(stack, options.wireload, load))
            else:
                with running(kind, options.engines) as stack:
                    note("client", kind, client_figures(stack, options.tasks, options.calls))
    return results


def table(results: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Results as a Markdown table."""
    lines = ["| run | figure | ipyparallel | ipyfleet | ratio |", "|---|---|---|---|---|"]
    for section, figures in results.items():
        for name, kinds in figures.items():
            cells, medians = [], []
            for kind in ("ipyparallel", "ipyfleet"):
                values = kinds[kind]
                medians.append(statistics.median(values))
                cells.append(f"{medians[-1]:,.4g} ({min(values):,.4g}-{max(values):,.4g})")
            ratio = medians[1] / medians[0] if medians[0] else float("nan")
            lines.append(f"| {section} | {name} | {cells[0]} | {cells[1]} | {ratio:.3g} |")
    return "\n".join(lines)


def main() -> int:
    """Run all rounds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of both stacks (3)")
    parser.add_argument("--engines", type=int, default=4, help="engines of each stack (4)")
    parser.add_argument("--tasks", type=int, default=3000, help="tasks of the no-op map (3000)")
    parser.add_argument("--calls", type=int, default=500, help="calls for the latency (500)")
    parser.add_argument("--wireload", help="load generator: measure the controller alone")
    parser.add_argument("--only", nargs="+", choices=WIRE_RUNS, help="only these raw loads")
    parser.add_argument("--json", type=Path, help="write all values to this file")
    options = parser.parse_args()
    results = measure(options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
