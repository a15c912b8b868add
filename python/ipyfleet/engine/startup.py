"""Startup code of an engine: commands, scripts, MPI."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from . import profile
from .bridge import DetachedBridge
from .interactive import EngineInteractiveShell

# What initialises MPI, and leaves rank and size in the user's namespace.
MPI_STARTUP = {
    "mpi4py": """\
from mpi4py import MPI
mpi_rank = MPI.COMM_WORLD.Get_rank()
mpi_size = MPI.COMM_WORLD.Get_size()
""",
    "pytrilinos": """\
from PyTrilinos import Epetra
mpi_rank = Epetra.PyComm().MyPID()
mpi_size = Epetra.PyComm().NumProc()
""",
}


def _start_mpi(shell: EngineInteractiveShell, options: Mapping[str, Any]) -> None:
    module = options.get("mpi_module") or "mpi4py"
    code = options.get("init_mpi") or profile.engine_trait(shell.config, "init_mpi")
    if module.lower() in MPI_STARTUP:
        code = code or MPI_STARTUP[module.lower()]
    else:
        import_module(module)
    if code:
        exec(compile(code, "<init-mpi>", "exec"), shell.user_global_ns)


def run_startup_code(shell: EngineInteractiveShell, options: Mapping[str, Any]) -> None:
    if options.get("use_mpi"):
        _start_mpi(shell, options)
    for name in profile.configured(shell.config, "extensions"):
        _run_reported(shell, _load_extension, str(name))
    scripts = [
        os.environ.get("PYTHONSTARTUP"),
        *profile.startup_files(shell.profile_dir.startup_dir),
        *profile.configured(shell.config, "exec_files"),
        options.get("startup_script") or profile.engine_trait(shell.config, "startup_script"),
    ]
    for path in scripts:
        if path:
            _run_reported(shell, _run_script, str(path))
    lines = [*profile.configured(shell.config, "exec_lines"), *(options.get("exec_lines") or ())]
    command = options.get("startup_command")
    lines.append(command or profile.engine_trait(shell.config, "startup_command"))
    for line in lines:
        if line:
            _run_reported(shell, _run_line, line)
    shell.payload_manager.clear_payload()


def _load_extension(shell: EngineInteractiveShell, name: str) -> None:
    shell.extension_manager.load_extension(name)


def _run_line(shell: EngineInteractiveShell, line: str) -> None:
    result = shell.run_cell(line, store_history=False)
    failure = result.error_before_exec or result.error_in_exec
    if failure is not None:
        raise failure


def _run_script(shell: EngineInteractiveShell, path: str) -> None:
    found = os.path.abspath(os.path.expanduser(path))
    if not os.path.isfile(found):
        raise FileNotFoundError(f"startup file not found: {path}")
    if found.endswith((".ipy", ".ipynb")):
        shell.safe_execfile_ipy(found, raise_exceptions=True)
        return
    shell.user_ns["__file__"] = found
    try:
        shell.safe_execfile(found, shell.user_ns, raise_exceptions=True)
    finally:
        shell.user_ns.pop("__file__", None)


def _run_reported(
    shell: EngineInteractiveShell,
    run: Callable[[EngineInteractiveShell, str], None],
    what: str,
) -> None:
    """Run startup code; a failure is written to the log of the process and nothing else."""
    try:
        run(shell, what)
    except Exception as exc:
        lines = shell.error_content(exc, exc.__traceback__)["traceback"]
        # Clients do not see output of the time before their requests, but logs keep stderr.
        report = "\n".join([f"Startup code failed: {what}", *lines, ""])
        DetachedBridge(shell.bridge).write("stderr", report)
