"""Kernels of the tests: started by Jupyter's own manager from an installed kernel specification."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

KERNEL = "ipyfleet-test"
START_TIMEOUT = 30


def pytest_configure(config: pytest.Config) -> None:
    """Managers and clients of Jupyter leave it to the garbage collector to close their contexts."""
    config.addinivalue_line("filterwarnings", "ignore:.*unclosed:ResourceWarning")


@pytest.fixture(scope="session", autouse=True)
def jupyter_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the kernel below a directory of its own, and let nothing touch the user's files."""
    home = tmp_path_factory.mktemp("jupyter")
    (home / "tmp").mkdir()
    command = [sys.executable, "-m", "ipyfleet.kernelspec", "install", "--prefix", str(home)]
    subprocess.run([*command, "--name", KERNEL], check=True, capture_output=True, timeout=60)
    changed = {
        "JUPYTER_PATH": str(home / "share" / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(home / "ipython"),
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    yield home
    for name, value in before.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


def shell_reply(client: BlockingKernelClient) -> dict[str, Any]:
    """Return the next reply; `wait_for_ready` may have left some to its own questions behind."""
    while True:
        message = client.get_shell_msg(timeout=START_TIMEOUT)
        if message["msg_type"] != "kernel_info_reply":
            return message


StartKernel = Callable[..., tuple[KernelManager, BlockingKernelClient]]


@pytest.fixture
def start_kernel(jupyter_home: Path) -> Iterator[StartKernel]:
    """Start a kernel that lives for one test; options go to `KernelManager`."""
    running: list[tuple[KernelManager, BlockingKernelClient]] = []

    def start(*arguments: str, **options: object) -> tuple[KernelManager, BlockingKernelClient]:
        manager = KernelManager(kernel_name=KERNEL, **options)
        manager.start_kernel(extra_arguments=list(arguments))
        client = manager.client()
        running.append((manager, client))
        client.start_channels()
        client.wait_for_ready(timeout=START_TIMEOUT)
        return manager, client

    yield start
    for manager, client in running:
        client.stop_channels()
        if manager.is_alive():
            manager.shutdown_kernel()
    left = list((jupyter_home / "tmp").iterdir())
    assert not left, f"kernels have left behind {left}"


@pytest.fixture
def client(start_kernel: StartKernel) -> BlockingKernelClient:
    """A client of a fresh kernel."""
    return start_kernel()[1]
