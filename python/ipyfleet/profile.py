"""``python -m ipyfleet.profile create NAME``: a profile with configuration files of clusters.

This is ``ipython profile create --parallel NAME``, with all its options, for where ipyparallel,
which IPython imports for it, is not installed. ``list`` and ``locate`` are IPython's, too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run IPython's command with our configuration files."""
    from IPython.core.profileapp import ProfileApp

    from .install import install_as_ipyparallel

    install_as_ipyparallel()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["create"] and "--parallel" not in given:
        given.insert(1, "--parallel")
    ProfileApp.launch_instance(argv=given)


if __name__ == "__main__":
    main()
