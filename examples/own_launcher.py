#!/usr/bin/env python3
"""A launcher of one's own: each engine finds its number in its environment.

Run:  python examples/own_launcher.py
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import ipyfleet as ipp
from ipyfleet.cluster.launcher import EngineLauncher


class NumberedLauncher(EngineLauncher):
    """Starts engines that know their number, to choose a GPU or a data set by it."""

    async def start(self, n: int) -> None:
        """Start n engines."""
        self.n = n
        env = {**os.environ, **self.get_env()}
        self._processes = [
            await asyncio.create_subprocess_exec(
                *self.args, env=env | {"NUMBER": str(number)}, stderr=asyncio.subprocess.DEVNULL
            )
            for number in range(n)
        ]
        self.notify_start([each.pid for each in self._processes])
        self._ended = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        codes = [await each.wait() for each in self._processes]
        self.notify_stop({"exit_code": max(codes)})

    def signal(self, sig: int) -> None:
        """Send a signal to all of them."""
        for each in self._processes:
            if each.returncode is None:
                each.send_signal(sig)

    async def stop(self) -> None:
        """End them."""
        self.signal(15)
        await self._ended


def number() -> int:
    """Return the number of the engine that runs this."""
    import os

    return int(os.environ["NUMBER"])


def main() -> None:
    """Start a cluster with such engines and ask them."""
    cluster: Any = ipp.Cluster(n=2, engines=NumberedLauncher)
    with cluster as rc:
        print("engines:", rc.ids)
        print("numbers:", sorted(rc[:].apply_sync(number)))


if __name__ == "__main__":
    main()
