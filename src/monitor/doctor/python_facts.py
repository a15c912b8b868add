"""Says what a Python has, for `ipcluster doctor`; run with -c by the Python that is asked."""

import importlib.metadata
import json
import sys

# -c puts the current directory in front, which is no place to import from.
sys.path[:] = [path for path in sys.path if path]


def version_of(package: str) -> str:
    """Return the version of an installed package, "" if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


try:
    import IPython

    ipython = IPython.__version__
except ImportError:
    ipython = ""
print(
    json.dumps(
        {
            "version": sys.version.split()[0],
            "ipython": ipython,
            "package": version_of("ipyfleet"),
        }
    )
)
