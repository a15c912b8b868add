"""Tasks that other tasks wait for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, cast

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
    if not isinstance(tasks, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"neither a task nor a message id nor a list of them: {tasks!r}")
    return [msg_id for task in tasks for msg_id in msg_ids_of(task)]


class Dependency(set[str]):
    """Tasks for the flags ``after`` and ``follow``, and how they have to end.

    Parameters
    ----------
    dependencies
        `AsyncResult` objects or message ids of load-balanced calls, also of other clients; or what
        `as_dict` returned, which then says the rest too.
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
        dependencies: Any = (),
        all: bool = True,
        success: bool = True,
        failure: bool = False,
    ) -> None:
        if isinstance(dependencies, Mapping):
            fields = cast("Mapping[str, Any]", dependencies)
            all = fields.get("all", all)
            success = fields.get("success", success)
            failure = fields.get("failure", failure)
            dependencies = fields.get("dependencies", ())
        if not (success or failure):
            raise ValueError("a dependency has to count successes or failures, or both")
        super().__init__(msg_ids_of(dependencies))
        self.all: bool = all
        self.success: bool = success
        self.failure: bool = failure

    def check(self, completed: AbstractSet[str], failed: AbstractSet[str] | None = None) -> bool:
        """Tell whether the dependency is met.

        Parameters
        ----------
        completed, failed
            Message ids of the tasks that succeeded, and of those that failed.
        """
        counted: set[str] = set()
        if self.success:
            counted |= completed
        if self.failure:
            counted |= failed or set()
        if not self:
            return True
        return self <= counted if self.all else not self.isdisjoint(counted)

    def unreachable(
        self, completed: AbstractSet[str], failed: AbstractSet[str] | None = None
    ) -> bool:
        """Tell whether the dependency can never be met; the parameters are those of `check`."""
        lost: set[str] = set()
        if not self.success:
            lost |= completed
        if not self.failure:
            lost |= failed or set()
        if not self:
            return False
        return not self.isdisjoint(lost) if self.all else self <= lost

    def as_dict(self) -> dict[str, Any]:
        """Return it as the scheduler reads it."""
        return {
            "dependencies": sorted(self),
            "all": self.all,
            "success": self.success,
            "failure": self.failure,
        }
