#!/usr/bin/env python3
"""Attaches a Jupyter client to a running engine and looks at what the cluster left there.

Start a cluster first:  ipcluster start -n 4 --daemonize
then run:               python examples/attach_jupyter.py

`jupyter console --existing FILE` attaches in the same way, with FILE as this program prints it.
Needs jupyter_client, and runs on the host of the engine.
"""

from __future__ import annotations

import argparse
import sys

SECONDS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", help="profile of the cluster")
    parser.add_argument("--cluster-id", default="", help="id of the cluster in its profile")
    options = parser.parse_args()

    import ipyfleet as ipp

    try:
        from jupyter_client.blocking.client import BlockingKernelClient
    except ImportError:
        print(
            "error: this example needs jupyter_client: pip install jupyter_client", file=sys.stderr
        )
        return 1

    rc = ipp.Client(profile=options.profile, cluster_id=options.cluster_id, timeout=10)
    rc.wait_for_engines(1, timeout=SECONDS)
    engine = rc[rc.ids[0]]
    engine.push({"temperature": [21.5, 22.0, 19.5]}, block=True)
    engine.apply_sync(ipp.bind_kernel)
    file = engine.apply_sync(kernel_file)
    print(f"attach with: jupyter console --existing {file}")

    frontend = BlockingKernelClient(connection_file=file)
    frontend.load_connection_file()
    frontend.start_channels()
    try:
        frontend.wait_for_ready(timeout=SECONDS)
        found = frontend.complete("temp", reply=True, timeout=SECONDS)["content"]["matches"]
        print("completions of 'temp':", ", ".join(found))
        # The namespace is one and the same: what the frontend sets, the cluster sees.
        code = "print('mean:', sum(temperature) / len(temperature)); seen_by = 'frontend'"
        frontend.execute_interactive(code, timeout=SECONDS)
    finally:
        frontend.stop_channels()
    print("seen by:", engine.pull("seen_by", block=True))
    return 0


def kernel_file() -> str:
    """Return the path of the connection file; runs on the engine."""
    from IPython import get_ipython

    return get_ipython().kernel.connection_file


if __name__ == "__main__":
    sys.exit(main())
