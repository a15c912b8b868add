"""The client: a connection to the controller of a cluster."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any

from . import _native, error
from .asyncresult import AsyncResult
from .connection import Connection, Targets
from .control import Control
from .hubqueries import Jobs, as_list
from .waiting import Seconds

if TYPE_CHECKING:
    from .balancedview import LoadBalancedView
    from .broadcastview import BroadcastView
    from .directview import DirectView
    from .executor import ViewExecutor

__all__ = ["Client", "Jobs"]

# Between two looks at who is there while engines are waited for.
_LOOK_S = 0.1


def _running_profile() -> str:
    """Return the profile of the IPython program that runs here, or nothing."""
    if "IPython" not in sys.modules:
        return ""
    from IPython.core.application import BaseIPythonApplication

    if not BaseIPythonApplication.initialized():
        return ""
    return str(BaseIPythonApplication.instance().profile)


def _home_expanded(path: str | os.PathLike[str] | None) -> str:
    """``~`` is the home directory; no path is the empty one."""
    return "" if path is None else os.path.expanduser(os.fspath(path))


def _connect(options: Mapping[str, Any], password: str | None) -> _native.Client:
    """Connect; ask for the password of the ssh server if it wants one and somebody is there."""
    try:
        return _native.Client(**options, ssh_password=password or "")
    except PermissionError as refused:
        if "ssh tunnel" not in str(refused) or password is not None or not sys.stdin.isatty():
            raise
    password = getpass.getpass(f"SSH password for {options['ssh_server'] or 'the tunnel'}: ")
    return _native.Client(**options, ssh_password=password)


class Client(Control):
    """A connection to a running cluster.

    Indexing gives views of engines: ``rc[0]``, ``rc[::2]``, ``rc[:]``.

    Parameters
    ----------
    connection_info
        Path of a client connection file, or its content as a dict or as JSON text.
    url_file
        The same as a path; an old name.
    profile, profile_dir, ipython_dir, cluster_id
        Where to look for the connection file if none is given. By default this is the profile
        ``default`` in ``$IPYTHONDIR`` or ``~/.ipython``, and the cluster without an id, unless
        ``$IPP_PROFILE_DIR`` or ``$IPP_CLUSTER_ID`` say otherwise.
    context
        Has no use here.
    debug
        Kept as the attribute `debug`.
    sshserver
        ``[user@]host[:port]``: all connections go through one ssh process by way of this server.
        Without it the server that the connection file names is taken, if the controller cannot be
        reached otherwise.
    sshkey
        File of the private key for it.
    password
        Of the server. If it wants one and none is given, it is asked for at a terminal.
    paramiko
        Has no use here: the tunnel is OpenSSH's.
    timeout
        Seconds to wait for the controller.
    cluster
        The ``Cluster`` that the client belongs to, kept as the attribute `cluster`.
    **extra_args
        ``block``: whether the views of this client wait for results unless told otherwise.
        ``keep_results``: False lets go of results once they were read, so that any number of them
        takes no memory; see `AsyncResult`.

    Raises
    ------
    FileNotFoundError
        If there is no such connection file, because no cluster is running.
    PermissionError
        If the ssh server wants another key or password.
    ConnectionError
        If there is no ssh tunnel for another reason.
    TimeoutError
        If the controller does not answer.
    ValueError
        If the connection file is wrong or asks for something that is not supported.

    Notes
    -----
    All methods may be called from any thread. In a forked child they raise RuntimeError.

    Examples
    --------
    >>> with ipp.Client() as rc:  # doctest: +SKIP
    ...     rc[:].apply_sync(os.getpid)
    [4711, 4712]
    """

    def __init__(
        self,
        connection_info: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        url_file: str | os.PathLike[str] | None = None,
        profile: str | None = None,
        profile_dir: str | os.PathLike[str] | None = None,
        ipython_dir: str | os.PathLike[str] | None = None,
        context: Any = None,
        debug: bool = False,
        sshserver: str | None = None,
        sshkey: str | None = None,
        password: str | None = None,
        paramiko: bool | None = None,
        timeout: Seconds = 10,
        cluster_id: str | None = None,
        cluster: Any = None,
        **extra_args: Any,
    ) -> None:
        self.block: bool = bool(extra_args.pop("block", False))
        self.keep_results: bool = bool(extra_args.pop("keep_results", True))
        if extra_args:
            raise TypeError(f"Client has no argument {min(extra_args)!r}")
        text = file = ""
        if isinstance(connection_info, Mapping):
            text = json.dumps(dict(connection_info))
        elif connection_info is not None:
            file = os.fspath(connection_info)
            if file.lstrip().startswith("{"):
                text, file = file, ""
            elif "://" in file:
                raise ValueError(
                    f"{file!r} is a URL; a client needs the connection file of its controller"
                )
        elif url_file is not None:
            file = os.fspath(url_file)
        self.debug = debug
        self.cluster = cluster
        self.profile = profile or _running_profile() or "default"
        options: dict[str, Any] = dict(
            connection_text=text,
            file=_home_expanded(file),
            profile=profile or _running_profile(),
            profile_dir=_home_expanded(profile_dir),
            ipython_dir=_home_expanded(ipython_dir),
            cluster_id=cluster_id or "",
            ssh_server=sshserver or "",
            ssh_key=_home_expanded(sshkey),
            timeout=timeout,
        )
        self.connection = Connection(_connect(options, password))
        self._activate_first()

    def _activate_first(self) -> None:
        """Give the first client of an IPython session the magics."""
        from .display import shell

        ip = shell()
        if ip is not None and "px" not in ip.magics_manager.magics["line"]:
            self.activate()

    @property
    def session(self) -> SimpleNamespace:
        """The name of this connection in messages, as ``session.session``."""
        return SimpleNamespace(session=self.connection.native.session)

    # ---- engines ------------------------------------------------------------------------------

    @property
    def ids(self) -> list[int]:
        """The ids of the engines that are registered now, rising."""
        return list(self.connection.engines())

    @property
    def engines(self) -> dict[int, str]:
        """The uuids of the engines by id."""
        return dict(self.connection.engines())

    def __len__(self) -> int:
        return len(self.connection.engines())

    def __iter__(self) -> Iterator[DirectView]:
        return (self.direct_view(engine_id) for engine_id in self.ids)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: int | slice | Sequence[int]) -> DirectView:
        if not isinstance(key, int | slice | tuple | list | range):
            raise TypeError(f"engines are chosen by int, slice or list of ints, not by {key!r}")
        return self.direct_view(key)

    def wait_for_engines(
        self,
        n: int | None = None,
        *,
        timeout: Seconds | None = -1,
        block: bool = True,
        interactive: bool | None = None,
        widget: bool | None = None,
    ) -> Future[None] | None:
        """Wait until `n` engines are registered.

        Parameters
        ----------
        n
            Number of engines; by default that of the `cluster` the client belongs to.
        timeout
            Seconds; None or a negative number means no limit.
        block
            Whether to wait here instead of returning a future.
        interactive
            Whether to show how many there are; by default in IPython, unless
            ``$IPP_NONINTERACTIVE`` is set.
        widget
            Whether to show it in a widget of a notebook; by default if this is one.

        Raises
        ------
        TimeoutError
            If there are fewer when the time is over; the text says how many.
        EngineError
            If an engine is lost meanwhile.
        TypeError
            If `n` is not given, and there is no `cluster` that knows it.
        """
        from .display import noninteractive, progress, shell

        count = self._expected_engines() if n is None else n
        if interactive is None:
            interactive = shell() is not None and not noninteractive()
        if block:
            bar = None
            if interactive and len(self) < count:
                bar = progress(count, unit="engine", initial=len(self), widget=widget)
            try:
                self._await_engines(count, timeout, bar)
            finally:
                if bar is not None:
                    bar.close()
            return None
        from threading import Thread

        future: Future[None] = Future()

        def wait() -> None:
            try:
                self._await_engines(count, timeout, None)
            except BaseException as failure:
                future.set_exception(failure)
            else:
                future.set_result(None)

        Thread(target=wait, name="ipyfleet-engines", daemon=True).start()
        return future

    def _expected_engines(self) -> int:
        if self.cluster is None:
            raise TypeError("say how many engines to wait for: wait_for_engines(n)")
        return self.cluster.n or sum(each.n for each in self.cluster.engines.values())

    def _await_engines(self, n: int, timeout: Seconds | None, bar: Any) -> None:
        limit = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        before = self.connection.engines()
        while True:
            left = _LOOK_S if limit is None else min(_LOOK_S, max(0.0, limit - time.monotonic()))
            enough = self.connection.native.wait_for_engines(n, left)
            now = self.connection.engines()
            if bar is not None:
                bar.update(min(len(now), n) - bar.n)
            if enough:
                return
            lost = sorted(before.keys() - now.keys())
            if lost:
                raise error.EngineError(
                    f"engine {lost[0]} was lost while {n} engines were waited for"
                )
            before = now
            if limit is not None and time.monotonic() >= limit:
                raise error.TimeoutError(
                    f"{n} engines not ready in {timeout} seconds. Currently ready: {len(now)}"
                )

    # ---- views --------------------------------------------------------------------------------

    def direct_view(self, targets: Targets = "all", **kwargs: Any) -> DirectView:
        """Return a view of explicit engines.

        Parameters
        ----------
        targets
            An id (then results are single values), a slice or a list of ids, or ``"all"``, which
            means at each call the engines that are there then.
        **kwargs
            Flags of the view: ``block``, ``track``, ``label``.

        Raises
        ------
        IndexError
            If there is no such engine.
        NoEnginesRegistered
            If there is none at all, and `targets` is not ``"all"``.
        """
        from .directview import DirectView

        if isinstance(targets, str) and targets == "all":
            return DirectView(self, targets="all", **kwargs)
        chosen = self.connection.resolve(targets)[1]
        single = isinstance(targets, int)
        return DirectView(self, targets=chosen[0] if single else chosen, **kwargs)

    def broadcast_view(
        self, targets: Targets = "all", is_coalescing: bool = False, **kwargs: Any
    ) -> BroadcastView:
        """Return a view of explicit engines that sends one message for all of them.

        Parameters
        ----------
        targets, **kwargs
            As in `direct_view`; ``"all"`` means the engines that are there now.
        is_coalescing
            Kept for compatibility; see `BroadcastView`.
        """
        from .broadcastview import BroadcastView

        view = BroadcastView(self, targets=self.connection.resolve(targets)[1], **kwargs)
        view.is_coalescing = is_coalescing
        return view

    def load_balanced_view(self, targets: Targets = None, **kwargs: Any) -> LoadBalancedView:
        """Return a view whose calls the scheduler distributes.

        Parameters
        ----------
        targets
            The engines to choose from; None and "all" mean all, also those that come later.
        **kwargs
            Flags of the view; see `LoadBalancedView`.
        """
        from .balancedview import LoadBalancedView

        everything = targets is None or (isinstance(targets, str) and targets == "all")
        chosen = None if everything else self.connection.resolve(targets)[1]
        return LoadBalancedView(self, targets=chosen, **kwargs)

    def executor(self, targets: Targets = None) -> ViewExecutor:
        """Return an executor of `concurrent.futures` over a load-balanced view."""
        return self.load_balanced_view(targets).executor

    def activate(self, targets: Targets = "all", suffix: str = "") -> DirectView:
        """Make the magics ``%px`` and so on work on engines, and return their view, which blocks.

        Parameters
        ----------
        targets
            As in `direct_view`.
        suffix
            What is appended to the names of the magics.
        """
        view = self.direct_view(targets, block=True)
        view.activate(suffix)
        return view

    # ---- waiting ------------------------------------------------------------------------------

    def wait(self, jobs: Jobs | None = None, timeout: Seconds | None = -1) -> bool:
        """Wait for calls of this client.

        Parameters
        ----------
        jobs
            As in `get_result`, and futures of any kind; None means everything that is outstanding.
        timeout
            Seconds; None or a negative number means no limit.

        Returns
        -------
        bool
            False if results are missing when the time is over.
        """
        end = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        wanted = list(self.outstanding) if jobs is None else as_list(jobs)
        own = [job for job in wanted if isinstance(job, str | int | AsyncResult)]
        others = [job for job in wanted if not isinstance(job, str | int | AsyncResult)]
        # A call that is not known any more is done.
        find = self.connection.native.find
        requests = [
            request
            for job in own
            for request in (
                job.requests if isinstance(job, AsyncResult) else [find(self._msg_id(job))]
            )
            if isinstance(request, _native.Request)
        ]
        if not _native.wait_all(requests, timeout):
            return False
        if not others:
            return True
        from concurrent.futures import wait

        left = None if end is None else max(0.0, end - time.monotonic())
        return not wait(others, left).not_done

    def wait_interactive(
        self, jobs: Jobs | None = None, interval: Seconds = 1.0, timeout: Seconds | None = -1.0
    ) -> None:
        """Wait for calls of this client, and show how many are done; see `wait`."""
        wanted = list(self.outstanding) if jobs is None else jobs
        requests = self._requests_of(wanted)
        if requests:
            AsyncResult(self, requests, "tasks").wait_interactive(interval, timeout)

    def spin(self) -> None:
        """Do nothing: messages are received all the time."""
        warnings.warn("Client.spin does nothing", DeprecationWarning, stacklevel=2)

    def spin_thread(self, interval: Seconds = 1) -> None:
        """Do nothing: messages are received all the time."""
        warnings.warn("Client.spin_thread does nothing", DeprecationWarning, stacklevel=2)

    def stop_spin_thread(self) -> None:
        """Do nothing: messages are received all the time."""
        warnings.warn("Client.stop_spin_thread does nothing", DeprecationWarning, stacklevel=2)

    # ---- end ----------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the client was closed, or its controller shut down."""
        return self.connection.native.closed

    def close(self, linger: float | None = None) -> None:
        """End the connection; calls without a result fail. Closing twice does nothing.

        Parameters
        ----------
        linger
            Has no effect: what was sent has a second to leave this machine.
        """
        self.connection.native.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = self.connection.native.file or "connection given as text"
        state = "closed" if self.closed else f"{len(self)} engines"
        return f"<Client: {state}, {where}>"
