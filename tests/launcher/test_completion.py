"""Shell completion: what `ipcluster completion` prints works in the shells."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from .harness import bin_dir


def script(shell: str) -> str:
    done = subprocess.run(
        [bin_dir() / "ipcluster", "completion", shell],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def completed_in_bash(line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    program = (
        f"{script('bash')}\nCOMP_WORDS=({' '.join(repr(w) for w in words)})\n"
        f"COMP_CWORD={len(words) - 1}\n_ipyfleet\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )
    environment = os.environ | {"PATH": f"{bin_dir()}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash() -> None:
    assert completed_in_bash("ipcluster st") == ["start", "stop"]
    assert {"--engines", "--engine-timeout"} <= {*completed_in_bash("ipcluster start --eng")}
    assert completed_in_bash("ipcluster stop --si") == ["--signal"]
    assert completed_in_bash("ipcluster do") == ["doctor"]
    assert completed_in_bash("ipcluster doctor --tim") == ["--timeout"]
    assert completed_in_bash("ipcluster top --int") == ["--interval"]
    assert completed_in_bash("ipcluster completion z") == ["zsh"]
    assert completed_in_bash("ipcontroller --sch") == ["--scheme"]
    assert completed_in_bash("ipengine --startup-s") == ["--startup-script"]
    assert completed_in_bash("ipcluster start -- --sch") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_takes_it(shell: str) -> None:
    text = script(shell)
    for program in ("ipcluster", "ipcontroller", "ipengine"):
        assert program in text
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here to check the syntax")
    subprocess.run([shell, "-n", "/dev/stdin"], input=text, text=True, timeout=30, check=True)


def test_an_unknown_shell() -> None:
    done = subprocess.run(
        [bin_dir() / "ipcluster", "completion", "tcsh"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "usage: ipcluster completion bash|zsh|fish\n"
