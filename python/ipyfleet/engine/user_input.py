"""``input()`` and ``getpass()``: a frontend that allows it is asked, everything else is refused."""

from __future__ import annotations

import builtins
from typing import Any

from IPython.core.error import StdinNotImplementedError

from .bridge import Bridge

_REFUSAL = "an engine has no one to ask: input() is not supported here"


class UserInput:
    """Asks the frontend of the request that is running.

    Attributes
    ----------
    allowed
        What the request in progress says (``allow_stdin``).
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.allowed = False

    def install(self) -> None:
        """Put `input` and `getpass` into the places where user code finds them."""
        import getpass

        builtins.input = self.input
        getpass.getpass = self.getpass  # type: ignore[assignment]

    def detach(self) -> None:
        """Refuse all input, in a forked child."""
        self.allowed = False

    def input(self, prompt: object = "", /) -> str:
        """Ask for a line of text."""
        return self._ask(str(prompt), password=False)

    def getpass(self, prompt: str = "Password: ", stream: Any = None, **ignored: Any) -> str:
        """Ask for a line of text that the frontend does not show."""
        return self._ask(prompt, password=True)

    def _ask(self, prompt: str, *, password: bool) -> str:
        if not self.allowed:
            raise StdinNotImplementedError(_REFUSAL)
        answer = self._bridge.ask(prompt, password)
        if answer is None:
            raise StdinNotImplementedError("the frontend that could answer input() is gone")
        return answer
