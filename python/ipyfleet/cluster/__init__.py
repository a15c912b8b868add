"""Starting, watching and stopping clusters: a controller and sets of engines.

>>> import ipyfleet as ipp
>>> with ipp.Cluster(n=4) as rc:  # doctest: +SKIP
...     rc[:].apply_sync(os.getpid)
"""

from __future__ import annotations

from .cluster import Cluster
from .manager import ClusterManager, clean_cluster_files

__all__ = ["Cluster", "ClusterManager", "clean_cluster_files"]
