"""A host of its own for some processes: a network namespace whose only link can lose packets."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from pathlib import Path
from types import TracebackType

import pytest

_RULES = """table inet fault {{
  chain i {{ type filter hook input priority -300; iifname "eth0" {rule}; }}
  chain o {{ type filter hook output priority -300; oifname "eth0" {rule}; }}
}}
"""


class FarHost:
    """A network namespace behind a pair of virtual interfaces; skips the test where it cannot be.

    ``near`` is the address of this side, ``far`` that of the other. Use as a context manager.
    """

    def __init__(self) -> None:
        for tool in ("ip", "nft"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is needed (iproute2, nftables)")
        if os.geteuid() != 0:
            pytest.skip("only root may make network namespaces")
        number = uuid.uuid4().int
        self.name = f"ipf{number % 0xFFFFFF:06x}"
        net = f"10.{200 + number // 256 % 50}.{number // 65536 % 256}"
        self.near, self.far = f"{net}.1", f"{net}.2"

    def __enter__(self) -> FarHost:
        near = f"{self.name}n"
        try:
            self._ip("netns", "add", self.name)
            self._ip("link", "add", near, "type", "veth", "peer", "eth0", "netns", self.name)
            self._ip("addr", "add", f"{self.near}/24", "dev", near)
            self._ip("link", "set", near, "up")
            for link in ("eth0", "lo"):
                self._ip("-n", self.name, "link", "set", link, "up")
            self._ip("-n", self.name, "addr", "add", f"{self.far}/24", "dev", "eth0")
            self.loss(0)
            self.heal()
        except subprocess.CalledProcessError as error:
            self.__exit__(None, None, None)
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", f"{self.name}n"], check=False, capture_output=True)

    @property
    def prefix(self) -> list[str]:
        """What to put in front of a command so that it runs there."""
        return ["nsenter", f"--net={Path('/run/netns') / self.name}"]

    def loss(self, percent: int) -> None:
        """Lose so many packets of a hundred, each way; 100 cuts the host off without a word."""
        self.heal()
        rule = "drop" if percent >= 100 else f"numgen random mod 100 < {percent} drop"
        self._run(["nft", "-f", "-"], _RULES.format(rule=rule))

    def heal(self) -> None:
        """Lose nothing any more."""
        nft = [*self.prefix, "nft", "delete", "table", "inet", "fault"]
        subprocess.run(nft, check=False, capture_output=True)

    def _ip(self, *args: str) -> None:
        subprocess.run(["ip", *args], check=True, capture_output=True, text=True)

    def _run(self, argv: list[str], text: str) -> None:
        subprocess.run(
            [*self.prefix, *argv], input=text, check=True, capture_output=True, text=True
        )
