"""Kernel ports of a running engine: Jupyter frontends attach to it beside the cluster's clients."""

from __future__ import annotations

import os
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from .json_text import to_json

_NAMES = ("ip", "transport", "key", "shell_port", "iopub_port", "stdin_port", "control_port")
_PAGE_MAX = 10_000_000
_KNOWN = frozenset((*_NAMES, "hb_port", "connection_file"))


def bind_kernel(**kwargs: Any) -> None:
    """Open the ports of a Jupyter kernel on this engine; call it on engines.

    Later calls do nothing. ``%connect_info`` and `connection_file` tell where frontends connect.

    Parameters
    ----------
    **kwargs
        ``connection_file`` (path of the file to write, by default where Jupyter looks for it), and
        what it shall say: ``ip``, ``transport``, ``key``, ``shell_port``, ``iopub_port``,
        ``stdin_port``, ``control_port``, ``hb_port``. What is left out is chosen.

    Raises
    ------
    RuntimeError
        If this is no engine.
    TypeError
        For an argument that is not known.
    OSError
        If a port is taken or the file cannot be written.
    """
    unknown = sorted(set(kwargs) - _KNOWN)
    if unknown:
        raise TypeError(f"bind_kernel() got an unexpected argument {unknown[0]!r}")
    wanted = {name: value for name, value in kwargs.items() if name != "connection_file"}
    _bridge().bind_kernel(to_json(wanted), str(kwargs.get("connection_file") or ""))


def connection_file() -> str:
    """Return the path of the connection file of this engine's kernel ports; empty without them."""
    return _bridge().kernel_place()[0]


def _bridge() -> Any:
    from IPython import get_ipython

    bridge = getattr(get_ipython(), "bridge", None)
    if bridge is None:
        raise RuntimeError("bind_kernel() must be called on an engine: use view.apply(bind_kernel)")
    return bridge


def _text_of(path: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
            return file.read(_PAGE_MAX)
    except OSError as failure:
        raise UsageError(f"{path}: {failure.strerror}") from None


@magics_class
class KernelMagics(Magics):
    """Line magics that belong to kernels."""

    @line_magic
    def connect_info(self, line: str) -> None:
        """Show how frontends connect to this kernel."""
        file, text = _bridge().kernel_place()
        if not text:
            raise UsageError("no frontend can connect to this engine yet: call ipp.bind_kernel()")
        print(text)
        print(f"Paste this into a file, or attach with:\n\n    jupyter console --existing {file}")

    @line_magic
    def less(self, line: str) -> None:
        """Show a file in the frontend's pager."""
        if not line.strip():
            raise UsageError("name the file: %less FILE")
        shell: Any = self.shell
        shell.show_in_pager_of_frontend(_text_of(line.strip()))
