"""What `ipcluster doctor` asks each engine; executed there in a namespace of its own.

It finds ``marker`` and ``location`` in that namespace and leaves ``facts``, a JSON text.
It works in engines of ipyparallel, too.
"""

import json
import os
import resource
import socket
import sys
import tempfile
import time

marker: str = globals()["marker"]
location: str = globals()["location"]


def room(what: str, path: str) -> dict[str, object]:
    """Return how much fits on the disk of a path."""
    try:
        state = os.statvfs(path)
    except OSError as error:
        return {"what": what, "path": path, "problem": str(error)}
    return {
        "what": what,
        "path": path,
        "free_bytes": state.f_bavail * state.f_frsize,
        "free_files": state.f_favail if state.f_files else 1,
        "writable": os.access(path, os.W_OK),
    }


def memory_available() -> int:
    """Return the bytes that programs may still use, 0 if the system does not tell."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def problem_of(host: str) -> str:
    """Return why a host's name does not resolve here, "" if it does."""
    try:
        socket.getaddrinfo(host, None, socket.AF_INET)
    except OSError as error:
        return str(error)
    return ""


try:
    working_directory = os.getcwd()
except OSError as error:
    working_directory = f"(the working directory: {error})"
now = time.time()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
ipython = sys.modules.get("IPython")
places = [("working directory", working_directory), ("temporary", tempfile.gettempdir())]
if os.path.isdir("/dev/shm"):
    places.append(("shared memory", "/dev/shm"))
facts = json.dumps(
    {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "ipython": getattr(ipython, "__version__", ""),
        "time": now,
        "descriptors_soft": soft,
        "descriptors_hard": hard,
        "disks": [room(what, path) for what, path in places],
        "memory_available": memory_available(),
        "location_problem": problem_of(location) if location else "",
    }
)
print(marker)
