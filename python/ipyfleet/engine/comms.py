"""Comms: two-way channels between objects here and in a frontend (ipywidgets uses them).

The ``comm`` package defines what a comm is; it is used when it is installed.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .json_text import to_json

if TYPE_CHECKING:
    from .interactive import EngineInteractiveShell

Message = dict[str, Any]


def make_manager(shell: EngineInteractiveShell) -> Any:
    """Make the comms of this process go through the shell's bridge; return their manager.

    Returns
    -------
    comm.base_comm.CommManager or None
        None when the ``comm`` package is not installed.
    """
    if find_spec("comm") is None:
        return None
    import comm
    from comm.base_comm import BaseComm, CommManager

    class EngineComm(BaseComm):
        """A comm whose messages are iopub messages of this engine."""

        def publish_msg(
            self,
            msg_type: str,
            data: Any = None,
            metadata: Any = None,
            buffers: Any = None,
            **keys: Any,
        ) -> None:
            content: dict[str, Any] = {"data": data or {}, "comm_id": self.comm_id, **keys}
            about: dict[str, Any] = {**shell.engine_facts, **(metadata or {})}
            topic = f"comm-{self.comm_id}"
            shell.bridge.publish(
                msg_type, topic, to_json(content), to_json(about), list(buffers or ())
            )

    manager = CommManager()
    comm.create_comm = EngineComm
    comm.get_comm_manager = lambda: manager
    return manager


def comm_info(manager: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Return the open comms, of one target if the request names one."""
    wanted = request.get("target_name")
    found = dict(manager.comms) if manager is not None else {}
    comms = {
        comm_id: {"target_name": comm.target_name}
        for comm_id, comm in found.items()
        if wanted is None or comm.target_name == wanted
    }
    return {"status": "ok", "comms": comms}


def deliver(manager: Any, message: Message) -> None:
    """Give a ``comm_open``, ``comm_msg`` or ``comm_close`` to the object that it is for."""
    if manager is not None:
        getattr(manager, message["header"]["msg_type"])(None, "", message)
