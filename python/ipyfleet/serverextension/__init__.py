"""An extension of Jupyter Server: clusters are started and stopped by HTTP and on a page.

``<base url>ipyfleet`` is the page, ``<base url>ipyfleet/clusters`` the interface behind it, which
is also there under ``ipyparallel/clusters``, the address that front ends of ipyparallel ask,
unless ipyparallel's own extension is enabled. Installing the package enables it.
"""

# Jupyter Server has no types that are known here.
# pyright: standard

from __future__ import annotations

from typing import Any

__all__ = ["load_jupyter_server_extension"]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Tell Jupyter Server which module to load."""
    return [{"module": "ipyfleet.serverextension"}]


def load_jupyter_server_extension(app: Any) -> None:
    """Add the page and the interface to a running Jupyter Server."""
    from ..cluster import ClusterManager
    from .handlers import routes

    app.log.info("Loading IPython parallel extension")
    settings = app.web_app.settings
    settings["ipyfleet_cluster_manager"] = ClusterManager(parent=app)
    enabled: dict[str, bool] = getattr(app, "jpserver_extensions", None) or {}
    prefixes = ["ipyfleet"] if enabled.get("ipyparallel") else ["ipyfleet", "ipyparallel"]
    app.web_app.add_handlers(".*$", routes(settings["base_url"], prefixes))


_load_jupyter_server_extension = load_jupyter_server_extension
