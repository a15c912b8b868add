"""Tasks that other tasks wait for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asyncresult import AsyncResult

__all__ = ["Dependency", "msg_ids_of"]


def msg_ids_of(tasks: AsyncResult | str | Iterable[AsyncResult | str]) -> list[str]:
    """Return the message ids of a task or of several.

    Raises
    ------
    TypeError
        If something is neither an `AsyncResult` nor a message id.
    """
    if isinstance(tasks, str):
        return [tasks]
    own = getattr(tasks, "msg_ids", None)
    if own is not None:
        return list(own)
    if not isinstance(tasks, Iterable):
        raise TypeError(f"neither a task nor a message id nor a list of them: {tasks!r}")
    return [msg_id for task in tasks for msg_id in msg_ids_of(task)]


class Dependency(set[str]):
    """Tasks for the flags ``after`` and ``follow``, and how they have to end.

    Parameters
    ----------
    tasks
        `AsyncResult` objects or message ids of load-balanced calls, also of other clients.
    all
        Whether all of them have to end so, or any one.
    success, failure
        Whether a success, a failure or either counts.

    Raises
    ------
    ValueError
        If neither success nor failure counts.
    """

    def __init__(
        self,
        tasks: Any = (),
        all: bool = True,
        success: bool = True,
        failure: bool = False,
    ) -> None:
        if not (success or failure):
            raise ValueError("a dependency has to count successes or failures, or both")
        super().__init__(msg_ids_of(tasks))
        self.all = all
        self.success = success
        self.failure = failure

    def as_dict(self) -> dict[str, Any]:
        """Return it as the scheduler reads it."""
        return {
            "dependencies": sorted(self),
            "all": self.all,
            "success": self.success,
            "failure": self.failure,
        }
