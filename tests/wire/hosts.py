"""Hosts of their own for some processes: network namespaces on one bridge, whose links can fail.

This machine is on the bridge, too, at ``Lan.near``. The kernel has no netem: delay is made by
``delay.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from pathlib import Path
from types import TracebackType
from typing import Literal

import pytest

Way = Literal["both", "in", "out"]

_CHAINS: dict[Way, str] = {
    "in": 'chain i {{ type filter hook input priority -300; iifname "eth0" {rule}; }}',
    "out": 'chain o {{ type filter hook output priority -300; oifname "eth0" {rule}; }}',
}


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, text=True)


class Host:
    """One network namespace with one link, ``eth0``."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    @property
    def prefix(self) -> list[str]:
        """What to put in front of a command so that it runs there."""
        return ["nsenter", f"--net={Path('/run/netns') / self.name}"]

    def loss(self, percent: int, way: Way = "both") -> None:
        """Lose so many packets of a hundred; 100 cuts the host off without a word."""
        self.fault("drop" if percent >= 100 else f"numgen random mod 100 < {percent} drop", way)

    def fault(self, rule: str, way: Way = "both") -> None:
        """Apply a rule of nftables to what comes ``in``, goes ``out``, or both."""
        self.heal()
        chains = [_CHAINS[one].format(rule=rule) for one in _CHAINS if way in {one, "both"}]
        self._nft("table inet fault {\n" + "\n".join(chains) + "\n}\n")

    def firewall(self, ports: list[int]) -> None:
        """Let nothing in but new connections to ``ports`` and answers to what went out."""
        allowed = ", ".join(map(str, ports))
        self._nft(f"""table inet wall {{
          chain i {{ type filter hook input priority 0; policy drop;
            iifname "lo" accept; ct state established,related accept;
            tcp dport {{ {allowed} }} accept; }}
        }}
        """)

    def heal(self) -> None:
        """Lose nothing any more; the cable is plugged in."""
        nft = [*self.prefix, "nft", "delete", "table", "inet", "fault"]
        subprocess.run(nft, check=False, capture_output=True)
        _ip("-n", self.name, "link", "set", "eth0", "up")

    def unplug(self) -> None:
        """Pull the cable, until ``heal``."""
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def move(self) -> None:
        """Give the host another address, as a laptop gets in another network."""
        old = self.address
        net, _, last = old.rpartition(".")
        self.address = f"{net}.{int(last) + 100}"
        # In this order: with the first address of a network its others go, too.
        _ip("-n", self.name, "addr", "del", f"{old}/24", "dev", "eth0")
        _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")

    def _nft(self, rules: str) -> None:
        argv = [*self.prefix, "nft", "-f", "-"]
        subprocess.run(argv, input=rules, check=True, capture_output=True, text=True)


class Lan:
    """Some hosts on a bridge; skips the test where that cannot be. Use as a context manager."""

    def __init__(self, hosts: int) -> None:
        for tool in ("ip", "nft"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is needed (iproute2, nftables)")
        if os.geteuid() != 0:
            pytest.skip("only root may make network namespaces")
        number = uuid.uuid4().int
        self._bridge = f"ipf{number % 0xFFFFFF:06x}"
        net = f"10.{200 + number // 256 % 50}.{number // 65536 % 256}"
        self.near = f"{net}.254"
        self.hosts = [Host(f"{self._bridge}h{i}", f"{net}.{i}") for i in range(1, hosts + 1)]

    def __enter__(self) -> Lan:
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("addr", "add", f"{self.near}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for host in self.hosts:
                self._add(host)
        except subprocess.CalledProcessError as error:
            self.__exit__(None, None, None)
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        return self

    def _add(self, host: Host) -> None:
        _ip("netns", "add", host.name)
        _ip("link", "add", host.name, "type", "veth", "peer", "eth0", "netns", host.name)
        _ip("link", "set", host.name, "master", self._bridge, "up")
        _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
        for link in ("eth0", "lo"):
            _ip("-n", host.name, "link", "set", link, "up")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in self.hosts:
            subprocess.run(["ip", "netns", "del", host.name], check=False, capture_output=True)
            subprocess.run(["ip", "link", "del", host.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._bridge], check=False, capture_output=True)
