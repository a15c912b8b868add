"""Requests that look at the shell and change nothing: complete, inspect, is_complete, history."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from IPython.core.completer import provisionalcompleter, rectify_completions
from IPython.utils.tokenutil import token_at_cursor

if TYPE_CHECKING:
    from .interactive import EngineInteractiveShell

Content = dict[str, Any]
_TYPES_KEY = "_jupyter_types_experimental"


def complete(shell: EngineInteractiveShell, request: Content) -> Content:
    """Return what could stand at the cursor, with the type of each match."""
    code = request["code"]
    cursor = _cursor(request, code)
    with provisionalcompleter():
        raw = shell.Completer.completions(code, cursor)
        found = list(rectify_completions(code, raw))
    types = [
        {
            "start": item.start,
            "end": item.end,
            "text": item.text,
            "type": item.type,
            "signature": item.signature,
        }
        for item in found
    ]
    return {
        "status": "ok",
        "matches": [item.text for item in found],
        "cursor_start": found[0].start if found else cursor,
        "cursor_end": found[0].end if found else cursor,
        "metadata": {_TYPES_KEY: types},
    }


def inspect(shell: EngineInteractiveShell, request: Content) -> Content:
    """Return documentation of the object at the cursor."""
    code = request["code"]
    name = token_at_cursor(code, _cursor(request, code))
    level = request.get("detail_level", 0)
    data: Content = {}
    with suppress(KeyError):  # there is no such object
        data = shell.object_inspect_mime(name, detail_level=level)
    if not shell.enable_html_pager:
        data.pop("text/html", None)
    return {"status": "ok", "found": bool(data), "data": data, "metadata": {}}


def is_complete(shell: EngineInteractiveShell, request: Content) -> Content:
    """Tell whether a frontend should run the code or ask for another line."""
    status, spaces = shell.input_transformer_manager.check_complete(request["code"])
    if status == "incomplete":
        return {"status": status, "indent": " " * (spaces or 0)}
    return {"status": status}


def history(shell: EngineInteractiveShell, request: Content) -> Content:
    """Return past inputs as ``(session, line, input)`` or ``(session, line, (input, output))``."""
    manager = shell.history_manager
    source: Any = manager if manager.enabled else _SessionHistory(shell)
    raw, output = bool(request.get("raw", True)), bool(request.get("output", False))
    kind = request.get("hist_access_type", "tail")
    if kind == "tail":
        found = source.get_tail(_number(request, "n", 10), raw, output, include_latest=True)
    elif kind == "range":
        first = _number(request, "start", 1)
        stop = request.get("stop")
        found = source.get_range(_number(request, "session", 0), first, stop, raw, output)
    elif kind == "search":
        n = request.get("n")
        unique = bool(request.get("unique", False))
        found = source.search(request.get("pattern") or "*", raw, True, output, n, unique=unique)
    else:
        raise ValueError(f"hist_access_type must be 'range', 'tail' or 'search', not {kind!r}")
    # IPython calls the present session 0 in ranges, and by its number everywhere else.
    present = manager.session_number
    entries = [(session or present, line, text) for session, line, text in found]
    return {"status": "ok", "history": entries}


Entry = tuple[int, int, Any]


class _SessionHistory:
    """The inputs of this process, for a shell without a history database.

    Offers the part of IPython's ``HistoryAccessor`` that `history` needs.
    """

    def __init__(self, shell: EngineInteractiveShell) -> None:
        self._manager = shell.history_manager

    def get_tail(self, n: int, raw: bool, output: bool, include_latest: bool) -> list[Entry]:
        entries = list(self._entries(raw, output))
        return entries[-n:] if n > 0 else []

    def get_range(
        self, session: int, start: int, stop: int | None, raw: bool, output: bool
    ) -> list[Entry]:
        entries = list(self._entries(raw, output))
        if session not in (0, self._manager.session_number):
            return []
        last = len(entries)
        begin = start + last + 1 if start < 0 else start
        end = last + 1 if stop is None else stop + last + 1 if stop < 0 else stop
        return [entry for entry in entries if begin <= entry[1] < end]

    def search(
        self,
        pattern: str,
        raw: bool,
        search_raw: bool,
        output: bool,
        n: int | None,
        *,
        unique: bool,
    ) -> list[Entry]:
        wanted = list(self._lines(search_raw))
        hits = [
            entry
            for entry in self._entries(raw, output)
            if fnmatch.fnmatchcase(wanted[entry[1] - 1], pattern)
        ]
        if unique:  # the latest of equal ones, as the database does it
            latest = {wanted[entry[1] - 1]: entry for entry in hits}
            hits = sorted(latest.values(), key=lambda entry: entry[1])
        return hits[-n:] if n else hits

    def _lines(self, raw: bool) -> list[str]:
        manager = self._manager
        return (manager.input_hist_raw if raw else manager.input_hist_parsed)[1:]

    def _entries(self, raw: bool, output: bool) -> Iterator[Entry]:
        manager = self._manager
        for number, text in enumerate(self._lines(raw), start=1):
            shown = manager.output_hist_reprs.get(number)
            yield (manager.session_number, number, (text, shown) if output else text)


def _cursor(request: Content, code: str) -> int:
    cursor = request.get("cursor_pos")
    return len(code) if cursor is None else max(0, min(int(cursor), len(code)))


def _number(request: Content, name: str, otherwise: int) -> int:
    value = request.get(name)
    return otherwise if value is None else int(value)
