"""What ``ipython profile create --parallel`` asks of ipyparallel: three configuration files.

IPython imports these classes as those of ipyparallel; `ipyfleet.profile` sees to it that they are
found.
"""

# Traits have no types.
# pyright: standard

from __future__ import annotations

from IPython.core.application import BaseIPythonApplication

from .config.explain import template

__all__ = ["IPClusterStart", "IPControllerApp", "IPEngineApp"]


class _ConfigurationFile(BaseIPythonApplication):
    """Makes the configuration file of one program in a profile."""

    program = ""

    def _config_file_name_default(self) -> str:
        return f"{self.program}_config.py"

    def generate_config_file(self, classes: object = None) -> str:
        """Return the text of the file."""
        return template(self.program)


class IPControllerApp(_ConfigurationFile):
    """Of ipcontroller."""

    program = name = "ipcontroller"


class IPEngineApp(_ConfigurationFile):
    """Of ipengine."""

    program = name = "ipengine"


class IPClusterStart(_ConfigurationFile):
    """Of ipcluster."""

    program = name = "ipcluster"
