"""Counts test results for scripts/test.

    report.py DIRECTORY     prints failures, one line per suite, and the closing line

A suite leaves in DIRECTORY a file <suite>.status with `passed` or `failed`, <suite>.seconds with
the time it took and, unless it is a step that counts as one test, <suite>.xml: JUnit, from ctest or
pytest. A suite that ended badly without a failing case in its XML counts as one failure.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

FAILURES_SHOWN_MAX = 30


@dataclass
class Suite:
    """The counts of one suite and the names of the cases that failed."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: str = "?"
    failures: list[str] = field(default_factory=list)

    def add_case(self, case: ElementTree.Element) -> None:
        """Count one <testcase>; ctest marks skipped ones by a child, disabled ones by a status."""
        tags = {child.tag for child in case}
        if tags & {"failure", "error"} or case.get("status") == "fail":
            self.failed += 1
            self.failures.append(case_name(case))
        elif "skipped" in tags or case.get("status") in {"notrun", "disabled"}:
            self.skipped += 1
        else:
            self.passed += 1


def case_name(case: ElementTree.Element) -> str:
    """Return `class::name`, or only the name where ctest repeats it as the class."""
    name, owner = case.get("name", "?"), case.get("classname", "")
    return name if owner in {"", name} else f"{owner}::{name}"


def read_suite(directory: Path, name: str) -> Suite:
    """Read what the suite left in the directory."""
    suite = Suite(name)
    xml, status = directory / f"{name}.xml", directory / f"{name}.status"
    if xml.exists():
        try:
            for case in ElementTree.parse(xml).getroot().iter("testcase"):
                suite.add_case(case)
        except ElementTree.ParseError as error:
            suite.failures.append(f"{xml.name} is no XML: {error}")
            suite.failed += 1
    if status.exists():
        verdict = status.read_text().strip()
        if verdict == "passed" and not xml.exists():
            suite.passed += 1
        elif verdict == "failed" and suite.failed == 0:
            suite.failed += 1
            suite.failures.append("the suite as a whole (see its output above)")
    seconds = directory / f"{name}.seconds"
    if seconds.exists():
        suite.seconds = seconds.read_text().strip()
    return suite


def suite_names(directory: Path) -> list[str]:
    """Return the suites in the order in which they ended."""
    ended = sorted(directory.glob("*.seconds"), key=lambda path: path.stat().st_mtime_ns)
    names = [path.stem for path in ended]
    rest = {path.stem for path in directory.iterdir() if path.suffix in {".xml", ".status"}}
    return names + sorted(rest - set(names))


def main(arguments: list[str]) -> int:
    """Print the report; the exit status is 1 if anything failed or nothing ran."""
    directory = Path(arguments[0])
    suites = [read_suite(directory, name) for name in suite_names(directory)]
    for suite in suites:
        for failure in suite.failures[:FAILURES_SHOWN_MAX]:
            print(f"FAILED {suite.name}: {failure}")
        if len(suite.failures) > FAILURES_SHOWN_MAX:
            print(f"FAILED {suite.name}: and {len(suite.failures) - FAILURES_SHOWN_MAX} more")
    for suite in suites:
        print(
            f"{suite.name:<14} {suite.passed:>5} passed {suite.failed:>4} failed "
            f"{suite.skipped:>4} skipped {suite.seconds:>6} s"
        )
    passed = sum(suite.passed for suite in suites)
    failed = sum(suite.failed for suite in suites)
    skipped = sum(suite.skipped for suite in suites)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
