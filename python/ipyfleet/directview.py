"""Views of explicit engines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from . import remotecode, serialize
from .asyncresult import AsyncResult
from .checks import require_type
from .mapping import Dist, as_sequences, map_of
from .mapresult import AsyncMapResult
from .view import ResultList, View, name_of, track_buffers

if TYPE_CHECKING:
    import os

    from ._native import Request
    from .client import Client
    from .connection import Targets

__all__ = ["DirectView"]


class DirectView(View):
    """Explicit engines; a call runs on each of them.

    Calls on one engine run in the order in which they were made. Results are a list in the order
    of the targets, or a single value if the view was made for a single engine (``rc[0]``).

    Attributes
    ----------
    targets : int, list of int or "all"
        The engines.
    """

    def __init__(
        self, client: Client, socket: Any = None, targets: Any = None, **flags: Any
    ) -> None:
        super().__init__(client, socket, targets=targets, **flags)

    def __len__(self) -> int:
        if isinstance(self.targets, int):
            return 1
        if self.targets is None or isinstance(self.targets, str):
            return len(self.client)
        return len(self.targets)

    # ---- sending ------------------------------------------------------------------------------

    def _choose(self, targets: Targets) -> tuple[list[str], list[int], bool]:
        chosen = self.targets if targets is None else targets
        return *self.client.connection.resolve(chosen), isinstance(chosen, int)

    def _metadata(self, label: str | None = None) -> str:
        label = self.label if label is None else label
        return '{"label": null}' if label is None else json.dumps({"label": label})

    def _send_call(
        self, uuids: list[str], ids: list[int], buffers: Sequence[Any], label: str | None
    ) -> list[Request]:
        metadata = self._metadata(label)
        apply = self.client.connection.native.apply
        return [apply(uuid, metadata, buffers) for uuid in uuids]

    def _send_code(
        self, uuids: list[str], ids: list[int], content: str, label: str | None
    ) -> list[Request]:
        metadata = self._metadata(label)
        send = self.client.connection.native.send
        return [send("engine", "execute_request", uuid, metadata, content) for uuid in uuids]

    def _submit(
        self,
        f: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        targets: Targets = None,
        name: str | None = None,
        track: bool | None = None,
    ) -> AsyncResult:
        uuids, ids, single = self._choose(targets)
        buffers = self.client.connection.packer.pack(f, args, kwargs)
        trackers = None
        if self.track if track is None else track:
            buffers, trackers = track_buffers(buffers)
        requests = self._send_call(uuids, ids, buffers, None)
        self._remember(requests)
        result = AsyncResult(
            self.client, requests[0] if single else requests, name or name_of(f), ids
        )
        result.keep_results = self.keep_results
        if trackers:
            result.trackers = trackers
        return result

    def _get(self, result: AsyncResult) -> Any:
        values = result.get()
        return values if result.single_result else ResultList(values)

    # ---- source text --------------------------------------------------------------------------

    def execute(
        self,
        code: str,
        silent: bool = True,
        targets: Targets = None,
        block: bool | None = None,
        label: str | None = None,
    ) -> AsyncResult:
        """Run source text in the namespace of each engine.

        Parameters
        ----------
        code
            The text; ``await`` is allowed outside of functions.
        silent
            Whether to leave out the value of the last expression and the execution counter.
        targets
            Engines to use instead of the view's.
        block
            Whether to wait for the end of the output too; by default as `block` of the view.
        label
            By default that of the view.

        Returns
        -------
        AsyncResult
            With an `ExecuteReply` for each engine; its ``stdout`` and ``stderr`` hold what was
            printed.

        Raises
        ------
        RemoteError
            If the code raised and it was waited for.
        """
        require_type(code, str, "source text is a str")
        uuids, ids, single = self._choose(targets)
        content: dict[str, Any] = {"code": code, "silent": bool(silent), "user_expressions": {}}
        requests = self._send_code(uuids, ids, json.dumps(content), label)
        self._remember(requests)
        result = AsyncResult(self.client, requests[0] if single else requests, "execute", ids)
        if self._blocks(block):
            result.get()
            result.wait_for_output()
        return result

    def run(
        self,
        filename: str | os.PathLike[str],
        targets: Targets = None,
        block: bool | None = None,
        label: str | None = None,
    ) -> AsyncResult:
        """Run the content of a file of this machine; see `execute`."""
        with open(filename, encoding="utf-8") as file:
            code = file.read()
        return self.execute(code + "\n", targets=targets, block=block, label=label)

    # ---- data ---------------------------------------------------------------------------------

    def push(
        self,
        ns: Mapping[str, Any],
        targets: Targets = None,
        block: bool | None = None,
        track: bool | None = None,
    ) -> Any:
        """Set names in the namespace of each engine.

        Parameters
        ----------
        ns
            Values by name.
        targets, block
            As in `execute`.
        track
            Whether `AsyncResult.sent` tells when the values may be changed; by default as `track`
            of the view.
        """
        require_type(ns, Mapping, "push takes a dict of names and values")
        result = self._submit(remotecode.push, (), dict(ns), targets, "push", track)
        return self._finish(result, block)

    def update(self, ns: Mapping[str, Any]) -> Any:
        """Do as `push`."""
        return self.push(ns)

    def pull(
        self,
        names: str | Sequence[str],
        targets: Targets = None,
        block: bool | None = None,
    ) -> Any:
        """Return the values of names, or of expressions, from the namespace of each engine.

        Parameters
        ----------
        names
            One name, or several: then there is a list of values for each engine.
        targets, block
            As in `execute`.

        Raises
        ------
        RemoteError
            If there is no such name (``NameError``) and it was waited for.
        """
        asked = names if isinstance(names, str) else list(names)
        for name in [asked] if isinstance(asked, str) else asked:
            require_type(name, str, "names are str")
        return self._finish(self._submit(remotecode.pull, (asked,), {}, targets, "pull"), block)

    def get(self, key_s: str | Sequence[str]) -> Any:
        """Do as `pull`, and wait for the values."""
        return self.pull(key_s, block=True)

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.push({key: value}, block=self.block)

    def scatter(
        self,
        key: str,
        seq: Any,
        dist: Dist = "b",
        flatten: bool = False,
        targets: Targets = None,
        block: bool | None = None,
        track: bool | None = None,
    ) -> Any:
        """Split a sequence and give each engine its part under the name `key`.

        Parameters
        ----------
        key
            The name.
        seq
            Anything with a length that can be sliced, arrays included.
        dist
            "b": one block after the other; "r": items in turn.
        flatten
            Whether a part with a single item becomes that item.
        targets, block, track
            As in `push`.
        """
        uuids, ids, _ = self._choose(targets)
        splitter = map_of(dist)
        packer = self.client.connection.packer
        requests: list[Request] = []
        trackers: list[Any] = []
        for index, (uuid, engine_id) in enumerate(zip(uuids, ids, strict=True)):
            part = splitter.getPartition(seq, index, len(uuids))
            value = part[0] if flatten and len(part) == 1 else part
            buffers = packer.pack(remotecode.push, (), {key: value})
            if self.track if track is None else track:
                buffers, tracked = track_buffers(buffers)
                trackers += tracked
            requests += self._send_call([uuid], [engine_id], buffers, None)
        self._remember(requests)
        result = AsyncResult(self.client, requests, "scatter", ids)
        result.keep_results = self.keep_results
        result.trackers = trackers or None
        return self._finish(result, block)

    def gather(
        self,
        key: str,
        dist: Dist = "b",
        targets: Targets = None,
        block: bool | None = None,
    ) -> Any:
        """Join the parts that the engines have under the name `key`; the reverse of `scatter`.

        Lists, tuples and arrays are joined; anything else becomes a list of the values.
        """
        joiner = map_of(dist)
        uuids, ids, _ = self._choose(targets)
        buffers = self.client.connection.packer.pack(remotecode.pull, (key,), {})
        requests = self._send_call(uuids, ids, buffers, None)
        self._remember(requests)
        result = AsyncMapResult(self.client, requests, joiner, "gather")
        result.keep_results = self.keep_results
        result.targets = ids
        return self._finish(result, block)

    def clear(self, targets: Targets = None, block: bool | None = None) -> Any:
        """Empty the namespaces; see `Client.clear`."""
        return self.client.clear(self.targets if targets is None else targets, self._blocks(block))

    # ---- maps ---------------------------------------------------------------------------------

    def map(
        self,
        f: Callable[..., Any],
        *sequences: Any,
        block: bool | None = None,
        track: bool = False,
        return_exceptions: bool = False,
        label: str | None = None,
        keep_results: bool | None = None,
    ) -> Any:
        """Call ``f`` for each item, with one block of items on each engine.

        Parameters
        ----------
        f
            The function; it gets one argument from each sequence.
        *sequences
            The map ends with the shortest.
        block
            Whether to wait; by default as `block` of the view.
        track
            As in `push`.
        return_exceptions
            Whether an exception takes the place of the results of its block.
        label
            By default that of the view.
        keep_results
            False to let go of each block of results when it was iterated over, and of all after
            ``get``; by default that of the view.

        Returns
        -------
        AsyncMapResult
            Or, after waiting, the list of results.
        """
        parts = as_sequences(sequences)
        call = (remotecode.map_chunk, serialize.PrePickled(f))
        return self.map_parts(
            *(call, parts, "b", name_of(f)),
            block=block,
            track=track,
            return_exceptions=return_exceptions,
            label=label,
            keep_results=keep_results,
        )

    def map_parts(
        self,
        call: tuple[Any, ...],
        sequences: Sequence[Any],
        dist: str,
        name: str,
        *,
        block: bool | None = None,
        track: bool = False,
        return_exceptions: bool = False,
        label: str | None = None,
        keep_results: bool | None = None,
    ) -> Any:
        """Call ``call[0](*call[1:], *parts)`` on each engine that gets a part."""
        uuids, ids, _ = self._choose(None)
        splitter = map_of(dist)
        packer = self.client.connection.packer
        requests: list[Request] = []
        sizes: list[int] = []
        used: list[int] = []
        trackers: list[Any] = []
        for index, (uuid, engine_id) in enumerate(zip(uuids, ids, strict=True)):
            chunk = [splitter.getPartition(each, index, len(uuids)) for each in sequences]
            if len(chunk[0]) == 0:
                continue
            buffers = packer.pack(call[0], (*call[1:], *chunk), {})
            if track:
                buffers, tracked = track_buffers(buffers)
                trackers += tracked
            requests += self._send_call([uuid], [engine_id], buffers, label)
            sizes.append(len(chunk[0]))
            used.append(engine_id)
        self._remember(requests)
        result = AsyncMapResult(
            *(self.client, requests, splitter, name),
            return_exceptions=return_exceptions,
            chunk_sizes=sizes,
        )
        result.keep_results = self.keep_results if keep_results is None else keep_results
        result.targets = used
        result.trackers = trackers or None
        return self._finish(result, block)

    # ---- imports and serialization ------------------------------------------------------------

    @property
    def importer(self) -> AbstractContextManager[None]:
        """As ``sync_imports()``."""
        from .syncimports import sync_imports

        return sync_imports(self, quiet=False)

    def sync_imports(self, local: bool = True, quiet: bool = False) -> AbstractContextManager[None]:
        """Return a context in which ``import`` statements run on the engines too.

        Parameters
        ----------
        local
            Whether to import here as well, which is the only way there is.
        quiet
            Whether to print nothing.

        Notes
        -----
        In ``import x as y`` the name on the engines is ``x``.

        Examples
        --------
        >>> with view.sync_imports():  # doctest: +SKIP
        ...     import numpy
        importing numpy on engine(s)
        """
        from .syncimports import sync_imports

        if not local:
            raise NotImplementedError("imports on engines only are not there; use execute")
        return sync_imports(self, quiet)

    def use_dill(self) -> Any:
        """Pickle with dill, here and on the engines."""
        return self._use_pickle_module("dill")

    def use_cloudpickle(self) -> Any:
        """Pickle with cloudpickle, here and on the engines."""
        return self._use_pickle_module("cloudpickle")

    def use_pickle(self) -> Any:
        """Pickle with the standard library again, here and on the engines."""
        return self._use_pickle_module("pickle")

    def _use_pickle_module(self, name: str) -> Any:
        from . import canning

        getattr(canning, f"use_{name}")()
        return self.apply(serialize.use_pickle_module, name)

    # ---- magics -------------------------------------------------------------------------------

    def activate(self, suffix: str = "") -> None:
        """Make the magics ``%px``, ``%%px``, ``%autopx`` and so on use this view.

        Parameters
        ----------
        suffix
            What is appended to their names, so that several views may have magics.
        """
        from .magics import activate

        activate(self, suffix)
