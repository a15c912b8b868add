"""What each trait of IPython Parallel means here: the one place that knows.

Keys are ``Class.trait`` as in configuration files; a test holds them against the traits of
ipyparallel. Traits of launcher classes are not here, because our launcher classes have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "ALIASES",
    "BASES",
    "DEPRECATED",
    "MEANINGS",
    "PASSED_ON",
    "Environment",
    "Flag",
    "Meaning",
    "Nothing",
    "Only",
    "Option",
    "Ports",
]


@dataclass(frozen=True)
class Option:
    """The value of an option; `texts` have a word of ours for a value of theirs."""

    name: str
    texts: tuple[tuple[Any, str], ...] = ()


@dataclass(frozen=True)
class Flag:
    """An option without a value, given if the trait is true (and another one if it is false)."""

    name: str
    otherwise: str = ""


@dataclass(frozen=True)
class Ports:
    """A number or a list of ports, in addition to those that are already given to the option."""

    name: str


@dataclass(frozen=True)
class Environment:
    """A secret, which goes by the environment of the program, not by its command line."""

    variable: str


@dataclass(frozen=True)
class Only:
    """One value is right and changes nothing; another one is an error for the reason."""

    values: tuple[Any, ...]
    why: str


@dataclass(frozen=True)
class Nothing:
    """Has no meaning here, for the reason."""

    why: str


Meaning: TypeAlias = Option | Flag | Ports | Environment | Only | Nothing

_ONE_PROCESS = "the controller is one process; nothing inside it listens for itself"
_FORMAT = "lines of logs have one format"
_TOO_LATE = "the profile is chosen before its files are read; give it on the command line"
_ALWAYS_MADE = "profile directories are made when they are needed"
_IPYTHON = "of the interactive IPython program; no program here has it"
_REPLAY = "replayed messages are told by --replay-window and a table that cannot forget too early"
_COPY = "buffers are never copied"
_DEBUGGING = "for debugging ipyparallel itself"
_TESTED = "not used by the programs"

# A trait that is not found in a class is looked for in the next one.
BASES: dict[str, str] = {
    "IPController": "BaseParallelApplication",
    "IPEngine": "BaseParallelApplication",
    "IPCluster": "BaseParallelApplication",
    "IPClusterStart": "IPClusterEngines",
    "IPClusterEngines": "BaseParallelApplication",
    "IPClusterStop": "BaseParallelApplication",
    "IPClusterList": "BaseParallelApplication",
    "IPClusterClean": "BaseParallelApplication",
    "BaseParallelApplication": "BaseIPythonApplication",
    "BaseIPythonApplication": "Application",
}

# Old names of classes, and of single traits that have moved.
DEPRECATED: dict[str, str] = {
    "HubFactory": "IPController",
    "IPControllerApp": "IPController",
    "EngineFactory": "IPEngine",
    "IPEngineApp": "IPEngine",
    "IPClusterApp": "IPCluster",
    "HubFactory.url": "IPController.ip",
    "EngineFactory.url": "IPEngine.registration_url",
    "MPI.use": "IPEngine.use_mpi",
    "MPIExecLauncher": "MPILauncher",
    "MPIExecControllerLauncher": "MPIControllerLauncher",
    "MPIExecEngineSetLauncher": "MPIEngineSetLauncher",
    **{
        f"{cls}.{trait}": f"Cluster.{trait}"
        for cls in ("IPClusterStart", "IPClusterEngines")
        for trait in (
            *("delay", "engine_launcher_class", "controller_launcher_class", "controller_ip"),
            *("controller_location", "n"),
        )
    },
}

# Options of ipyparallel's command lines that ours do not have themselves.
ALIASES: dict[str, dict[str, str]] = {
    "ipcontroller": {
        "--transport": "IPController.transport",
        "--log-url": "BaseParallelApplication.log_url",
        "--init": "BaseIPythonApplication.auto_create",
        "--user": "Session.username",
        "--ident": "Session.session",
    },
    "ipengine": {
        "--log-url": "BaseParallelApplication.log_url",
        "--clean-logs": "IPEngine.clean_logs",
    },
    "ipcluster": {
        "--log-url": "BaseParallelApplication.log_url",
        "--init": "BaseIPythonApplication.auto_create",
        "--log-to-file": "IPClusterEngines.log_to_file",
    },
}

# Classes whose traits the engine hands to IPython as they are.
PASSED_ON = frozenset(
    {
        *("InteractiveShell", "ZMQInteractiveShell", "Kernel", "IPythonKernel"),
        *("IPythonParallelKernel", "InteractiveShellApp", "IPKernelApp", "HistoryManager"),
        *("Completer", "IPCompleter", "DisplayFormatter", "PlainTextFormatter", "StoreMagics"),
        *("ScriptMagics", "LoggingMagics", "HistoryAccessor", "InlineBackend"),
    }
)

MEANINGS: dict[str, Meaning] = {
    "Application.log_level": Option("--log-level"),
    "Application.log_datefmt": Nothing(_FORMAT),
    "Application.log_format": Nothing(_FORMAT),
    "Application.logging_config": Nothing(_FORMAT),
    "Application.show_config": Flag("--show-config"),
    "Application.show_config_json": Flag("--show-config-json"),
    "BaseIPythonApplication.add_ipython_dir_to_sys_path": Nothing(_IPYTHON),
    "BaseIPythonApplication.auto_create": Nothing(_ALWAYS_MADE),
    "BaseIPythonApplication.copy_config_files": Nothing("ipython profile create does it"),
    "BaseIPythonApplication.extra_config_file": Option("--config"),
    "BaseIPythonApplication.ipython_dir": Nothing(_TOO_LATE),
    "BaseIPythonApplication.overwrite": Nothing("ipython profile create does it"),
    "BaseIPythonApplication.profile": Nothing(_TOO_LATE),
    "BaseIPythonApplication.verbose_crash": Nothing(_IPYTHON),
    "BaseParallelApplication.clean_logs": Flag("--clean-logs"),
    "BaseParallelApplication.cluster_id": Option("--cluster-id"),
    "BaseParallelApplication.log_to_file": Flag("--log-to-file"),
    "BaseParallelApplication.log_url": Nothing(
        "logs are files, not messages; --log-to-file keeps them in the profile"
    ),
    "BaseParallelApplication.work_dir": Option("--work-dir"),
    "ProfileDir.location": Nothing(_TOO_LATE),
    # ---- ipcontroller
    "IPController.auto_create": Nothing(_ALWAYS_MADE),
    "IPController.clean_logs": Nothing("logs are kept; ipcluster clean removes them"),
    "IPController.broadcast_scheduler_depth": Option("--broadcast-depth"),
    "IPController.client_ip": Option("--client-ip"),
    "IPController.client_json_file": Nothing("the files are named after --cluster-id"),
    "IPController.client_ports": Ports("--client-ports"),
    "IPController.client_transport": Only(("", "tcp"), "sockets are TCP"),
    "IPController.control": Ports("--ports"),
    "IPController.curve_publickey": Environment("IPP_CURVE_PUBLICKEY"),
    "IPController.curve_secretkey": Environment("IPP_CURVE_SECRETKEY"),
    "IPController.db_class": Option("--db"),
    "IPController.enable_curve": Environment("IPP_ENABLE_CURVE"),
    "IPController.engine_ip": Option("--engine-ip"),
    "IPController.engine_json_file": Nothing("the files are named after --cluster-id"),
    "IPController.engine_ports": Ports("--engine-ports"),
    "IPController.engine_ssh_server": Option("--enginessh"),
    "IPController.engine_transport": Only(("", "tcp"), "sockets are TCP"),
    "IPController.hb": Ports("--ports"),
    "IPController.iopub": Ports("--ports"),
    "IPController.ip": Option("--ip"),
    "IPController.location": Option("--location"),
    "IPController.mon_port": Nothing(_ONE_PROCESS),
    "IPController.monitor_ip": Nothing(_ONE_PROCESS),
    "IPController.monitor_transport": Nothing(_ONE_PROCESS),
    "IPController.mux": Ports("--ports"),
    "IPController.notifier_port": Ports("--ports"),
    "IPController.ports": Ports("--ports"),
    "IPController.registration_timeout": Option("--IPController.registration_timeout"),
    "IPController.regport": Option("--port"),
    "IPController.restore_engines": Flag("--restore"),
    "IPController.reuse_files": Flag("--reuse"),
    "IPController.ssh_server": Option("--ssh"),
    "IPController.task": Ports("--ports"),
    "IPController.transport": Only(("", "tcp"), "sockets are TCP"),
    "IPController.use_threads": Flag("--usethreads"),
    "IPController.keep_results": Option("--keep-results"),
    "IPController.db_query_limit": Option("--IPController.db_query_limit"),
    "HeartMonitor.debug": Nothing(_DEBUGGING),
    "HeartMonitor.max_heartmonitor_misses": Option("--HeartMonitor.max_heartmonitor_misses"),
    "HeartMonitor.period": Option("--ping"),
    "TaskScheduler.hwm": Option("--hwm"),
    "TaskScheduler.scheme_name": Option("--scheme"),
    "DictDB.cull_fraction": Option("--DictDB.cull_fraction"),
    "DictDB.record_limit": Option("--DictDB.record_limit"),
    "DictDB.size_limit": Option("--DictDB.size_limit"),
    "SQLiteDB.filename": Option("--SQLiteDB.filename"),
    "SQLiteDB.location": Option("--SQLiteDB.location"),
    "SQLiteDB.table": Option("--SQLiteDB.table"),
    "MongoDB.connection_args": Environment("IPYFLEET_MONGODB_URI"),
    "MongoDB.connection_kwargs": Nothing("give them in the URI: MongoDB.uri"),
    "MongoDB.database": Option("--MongoDB.database"),
    "MongoDB.uri": Environment("IPYFLEET_MONGODB_URI"),
    "MongoDB.collection": Option("--MongoDB.collection"),
    "Session.buffer_threshold": Nothing(_COPY),
    "Session.check_pid": Nothing(_TESTED),
    "Session.copy_threshold": Nothing(_COPY),
    "Session.debug": Nothing(_DEBUGGING),
    "Session.digest_history_size": Nothing(_REPLAY),
    "Session.item_threshold": Nothing(_COPY),
    "Session.key": Environment("IPP_SESSION_KEY"),
    "Session.keyfile": Option("--keyfile"),
    "Session.metadata": Nothing(_TESTED),
    "Session.packer": Only(("json", "orjson"), "messages are JSON"),
    "Session.session": Option("--ident"),
    "Session.signature_scheme": Only(("hmac-sha256",), "messages are signed with HMAC-SHA256"),
    "Session.unpacker": Only(("json", "orjson"), "messages are JSON"),
    "Session.username": Option("--user"),
    # ---- ipengine
    "IPEngine.clean_logs": Nothing("logs are kept; ipcluster clean removes them"),
    "IPEngine.curve_publickey": Environment("IPP_CURVE_PUBLICKEY"),
    "IPEngine.curve_secretkey": Environment("IPP_CURVE_SECRETKEY"),
    "IPEngine.curve_serverkey": Environment("IPP_CURVE_SERVERKEY"),
    "IPEngine.display_hook_factory": Nothing("the engine shows results itself"),
    "IPEngine.enable_nanny": Option("--IPEngine.enable_nanny"),
    "IPEngine.id": Option("--id"),
    "IPEngine.init_mpi": Option("--IPEngine.init_mpi"),
    "IPEngine.location": Option("--location"),
    "IPEngine.log_url": Nothing("logs are files, not messages; use --log-to-file"),
    "IPEngine.max_heartbeat_misses": Option("--max-heartbeat-misses"),
    "IPEngine.mpi_registration_delay": Nothing("an engine asks for its rank as its id"),
    "IPEngine.out_stream_factory": Nothing("the engine catches its output itself"),
    "IPEngine.paramiko": Nothing("tunnels are made by OpenSSH"),
    "IPEngine.registration_url": Option("--url"),
    "IPEngine.sshkey": Option("--sshkey"),
    "IPEngine.sshserver": Option("--ssh"),
    "IPEngine.startup_command": Option("--startup-command"),
    "IPEngine.startup_script": Option("--startup-script"),
    "IPEngine.timeout": Option("--timeout"),
    "IPEngine.url_file": Option("--file"),
    "IPEngine.url_file_name": Option("--file"),
    "IPEngine.use_mpi": Flag("--mpi"),
    "IPEngine.wait_for_url_file": Option("--wait-for-file"),
    # ---- ipcluster
    "Cluster.controller_args": Nothing(""),  # replaced in translate.py: they go after --
    "Cluster.controller_ip": Option("--ip"),
    "Cluster.controller_launcher_class": Option("--controller"),
    "Cluster.controller_location": Option("--location"),
    "Cluster.delay": Option("--delay"),
    "Cluster.engine_launcher_class": Option("--engines"),
    "Cluster.engine_timeout": Option("--engine-timeout"),
    "Cluster.load_profile": Nothing("ipcluster reads its profile; --no-config stops that"),
    "Cluster.n": Option("-n"),
    "Cluster.send_engines_connection_env": Nothing("engines start when the controller is ready"),
    "IPClusterEngines.daemonize": Flag("--daemonize"),
    "IPClusterEngines.log_to_file": Nothing("with --daemonize the log is a file of the profile"),
    "IPClusterEngines.early_shutdown": Option("--early-shutdown"),
    "IPClusterStart.auto_create": Nothing(_ALWAYS_MADE),
    "IPClusterStart.clean_logs": Flag("--clean-logs"),
    "IPClusterStop.all_cluster_ids": Flag("--all"),
    "IPClusterStop.signal": Option("--signal"),
    "IPClusterList.output_format": Option("--output"),
    "IPClusterClean.all_profiles": Flag("--all"),
    "IPClusterClean.force": Flag("--force"),
}
