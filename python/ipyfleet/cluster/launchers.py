"""The launcher classes, one family for each way to start programs.

Names, traits and their inheritance are those of ipyparallel. Defaults are empty here where the
launcher in C++ knows them.
"""

from __future__ import annotations

from typing import Any, cast

from traitlets import Any as AnyTrait
from traitlets import Bool as BoolTrait
from traitlets import CRegExp, Dict, Float, Integer, List, Unicode

from . import native
from .launcher import BaseLauncher, ControllerLauncher, EngineLauncher
from .nativelauncher import NativeLauncher

# ---- on this machine ----------------------------------------------------------------------------


class LocalProcessLauncher(NativeLauncher, BaseLauncher):
    """Starts programs on this machine."""


class LocalControllerLauncher(LocalProcessLauncher, ControllerLauncher):
    """Starts the controller on this machine."""


class LocalEngineLauncher(LocalProcessLauncher, EngineLauncher):
    """Starts an engine on this machine."""


class LocalEngineSetLauncher(LocalEngineLauncher):
    """Starts engines on this machine."""

    delay = Float(0.0, config=True, help="Seconds between the starts of engines; 0: all at once.")
    restart = Unicode(
        "on-failure",
        config=True,
        help="on-failure: an engine that crashes starts again under its id; or never.",
    )
    fork = BoolTrait(
        True, config=True, help="Whether engines are forks of one process that has loaded Python."
    )

    def native_options(self) -> dict[str, Any]:
        """Return what the launcher in C++ is made with."""
        options = super().native_options()
        if self.native_name == "local" and options["command"] == [native.program("ipengine")]:
            # Another program may not know these options.
            options["args"] = [f"--restart={self.restart}", *options["args"]]
            options["fork_server"] = self.fork
        return options


# ---- mpiexec ------------------------------------------------------------------------------------


class MPILauncher(LocalProcessLauncher):
    """Starts programs with mpiexec."""

    native_name = "mpi"
    mpi_cmd = List(Unicode(), ["mpiexec"], config=True, help="The mpiexec command.")
    mpi_args = List(Unicode(), config=True, help="Arguments for mpiexec.")


class MPIControllerLauncher(MPILauncher, ControllerLauncher):
    """Starts the controller with mpiexec."""


class MPIEngineSetLauncher(MPILauncher, EngineLauncher):
    """Starts engines with mpiexec."""


class _Deprecated:
    """Says once that the name of a class is an old one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        old = type(self).__name__
        log: Any = getattr(self, "log")  # noqa: B009 - the other base has it
        log.warning("%s is an old name; use %s", old, old.replace("MPIExec", "MPI"))


class MPIExecLauncher(_Deprecated, MPILauncher):
    """An old name."""


class MPIExecControllerLauncher(_Deprecated, MPIControllerLauncher):
    """An old name."""


class MPIExecEngineSetLauncher(_Deprecated, MPIEngineSetLauncher):
    """An old name."""


# ---- ssh ----------------------------------------------------------------------------------------


class SSHLauncher(LocalProcessLauncher):
    """Starts programs on other hosts with ssh."""

    native_name = "ssh"
    ssh_cmd = List(Unicode(), ["ssh"], config=True, help="The ssh command.").tag(to_dict=True)
    ssh_args = List(Unicode(), config=True, help="Arguments for ssh.").tag(to_dict=True)
    scp_cmd = List(Unicode(), ["scp"], config=True, help="The command that copies files.").tag(
        to_dict=True
    )
    scp_args = List(Unicode(), config=True, help="Arguments for it.").tag(to_dict=True)
    hostname = Unicode("", config=True, help="The host.").tag(to_dict=True)
    user = Unicode("", config=True, help="The user there.").tag(to_dict=True)
    location = Unicode("", config=True, help="The host as user@hostname:port, in one.")
    to_fetch = List(AnyTrait(), config=True, help="Files to fetch: pairs of remote and local path.")
    to_send = List(AnyTrait(), config=True, help="Files to send: pairs of local and remote path.")
    remote_profile_dir = Unicode("", config=True, help="The profile there.").tag(to_dict=True)
    remote_python = Unicode("python3", config=True, help="The Python there.").tag(to_dict=True)
    remote_output_file = Unicode("").tag(to_dict=True)


class SSHControllerLauncher(SSHLauncher, ControllerLauncher):
    """Starts the controller on another host."""


class SSHEngineLauncher(SSHLauncher, EngineLauncher):
    """Starts an engine on another host."""


class SSHEngineSetLauncher(LocalEngineSetLauncher, SSHLauncher):
    """Starts engines on other hosts."""

    native_name = "ssh"
    engines = Dict(
        config=True,
        help='Engines by host: {"host1": 2, "user@host2:2222": {"n": 3, "engine_args": [...]}}.',
    ).tag(to_dict=True)

    @property
    def engine_count(self) -> int:
        """How many engines `engines` asks for."""
        count = 0
        value: Any
        for value in self.engines.values():
            n: Any = cast("dict[str, Any]", value).get("n", 1) if isinstance(value, dict) else value
            count += int(cast("list[int]", n)[0] if isinstance(n, list | tuple) else n)
        return count

    def native_options(self) -> dict[str, Any]:
        """Return what the launcher in C++ is made with."""
        options = super().native_options()
        options["settings"].pop("delay", None)
        return options


class SSHProxyEngineSetLauncher(SSHLauncher, EngineLauncher):
    """Has an ipcluster on another host start engines."""

    native_name = "sshproxy"
    n = Integer(1).tag(to_dict=True)
    ipcluster_cmd = List(Unicode(), config=True, help="The ipcluster command there.")
    ipcluster_args = List(Unicode(), config=True, help="Arguments for it.")


# ---- batch systems ------------------------------------------------------------------------------


def _command(what: str, *words: str) -> List[str]:
    return List(Unicode(), list(words), config=True, help=f"The command that {what}.")


def _job_id(pattern: str) -> CRegExp:
    return CRegExp(pattern, config=True, help="Finds the id of a job in the answer.")


def _script(name: str) -> Unicode[str, str | bytes]:
    return Unicode(name, config=True, help="Name of the script.")


def _job_file(name: str) -> Unicode[str, str | bytes]:
    return Unicode(name, config=True, help="The file of the job.")


class WindowsHPCLauncher(NativeLauncher, BaseLauncher):
    """Submits jobs to Windows HPC."""

    native_name = "winhpc"
    job_id_regexp = _job_id(r"\d+")
    job_file_name = _job_file("ipython_job.xml")
    scheduler = Unicode("", config=True, help="The host of the scheduler.")
    job_cmd = Unicode("job", config=True, help="The command.")


class WindowsHPCControllerLauncher(WindowsHPCLauncher, ControllerLauncher):
    """Submits the controller."""

    job_file_name = _job_file("ipcontroller_job.xml")


class WindowsHPCEngineSetLauncher(WindowsHPCLauncher, EngineLauncher):
    """Submits engines."""

    job_file_name = _job_file("ipengineset_job.xml")


class BatchSystemLauncher(NativeLauncher, BaseLauncher):
    """Submits jobs to a batch system; every command of it is a trait."""

    native_name = "batch"
    output_file = Unicode("", config=True, help="Where jobs write.").tag(to_dict=True)
    submit_command = _command("submits a script")
    delete_command = _command("ends a job")
    signal_command = _command("sends a signal to a job")
    job_id_regexp = _job_id("")
    job_id_regexp_group = Integer(0, config=True, help="The group of it that is the id.")
    batch_template = Unicode(
        "", config=True, help="The script, with {n}, {queue}, {program_and_args} and so on."
    ).tag(to_dict=True)
    batch_template_file = Unicode("", config=True, help="A file with the template.")
    batch_file_name = Unicode("batch_script", config=True, help="Name of the script.").tag(
        to_dict=True
    )
    queue = Unicode("", config=True, help="The queue.").tag(to_dict=True)
    namespace = Dict(config=True, help="More names for the template.").tag(to_dict=True)
    job_id = Unicode("").tag(to_dict=True)
    n = Integer(1).tag(to_dict=True)

    @property
    def abbreviation(self) -> str:
        """The name of this class in cluster files."""
        return self.native_name


class BatchControllerLauncher(BatchSystemLauncher, ControllerLauncher):
    """Submits the controller."""


class BatchEngineSetLauncher(BatchSystemLauncher, EngineLauncher):
    """Submits engines."""


class PBSLauncher(BatchSystemLauncher):
    """Submits jobs to PBS."""

    native_name = "pbs"
    submit_command = _command("submits a script", "qsub")
    delete_command = _command("ends a job", "qdel")
    signal_command = _command("sends a signal", "qsig", "-s")
    job_id_regexp = _job_id(r"\d+")


class PBSControllerLauncher(PBSLauncher, BatchControllerLauncher):
    """Submits the controller to PBS."""

    batch_file_name = _script("pbs_controller")


class PBSEngineSetLauncher(PBSLauncher, BatchEngineSetLauncher):
    """Submits engines to PBS."""

    batch_file_name = _script("pbs_engines")


class SlurmLauncher(BatchSystemLauncher):
    """Submits jobs to Slurm."""

    native_name = "slurm"
    submit_command = _command("submits a script", "sbatch")
    delete_command = _command("ends a job", "scancel")
    signal_command = _command("sends a signal", "scancel", "-s")
    job_id_regexp = _job_id(r"\d+")
    account = Unicode("", config=True, help="The account.")
    qos = Unicode("", config=True, help="The quality of service.")
    timelimit = AnyTrait("", config=True, help="The time limit.")
    options = Unicode("", config=True, help="More lines for the script.")


class SlurmControllerLauncher(SlurmLauncher, BatchControllerLauncher):
    """Submits the controller to Slurm."""

    batch_file_name = _script("slurm_controller.sbatch")


class SlurmEngineSetLauncher(SlurmLauncher, BatchEngineSetLauncher):
    """Submits engines to Slurm."""

    batch_file_name = _script("slurm_engine.sbatch")


class SGELauncher(PBSLauncher):
    """Submits jobs to Grid Engine."""

    native_name = "sge"


class SGEControllerLauncher(SGELauncher, BatchControllerLauncher):
    """Submits the controller to Grid Engine."""

    batch_file_name = _script("sge_controller")


class SGEEngineSetLauncher(SGELauncher, BatchEngineSetLauncher):
    """Submits engines to Grid Engine."""

    batch_file_name = _script("sge_engines")


class LSFLauncher(BatchSystemLauncher):
    """Submits jobs to LSF."""

    native_name = "lsf"
    submit_command = _command("submits a script", "bsub")
    delete_command = _command("ends a job", "bkill")
    signal_command = _command("sends a signal", "bkill", "-s")
    job_id_regexp = _job_id(r"\d+")


class LSFControllerLauncher(LSFLauncher, BatchControllerLauncher):
    """Submits the controller to LSF."""

    batch_file_name = _script("lsf_controller")


class LSFEngineSetLauncher(LSFLauncher, BatchEngineSetLauncher):
    """Submits engines to LSF."""

    batch_file_name = _script("lsf_engines")


class HTCondorLauncher(BatchSystemLauncher):
    """Submits jobs to HTCondor."""

    native_name = "htcondor"
    submit_command = _command("submits a script", "condor_submit")
    delete_command = _command("ends a job", "condor_rm")
    job_id_regexp = _job_id(r"(\d+)\.$")
    job_id_regexp_group = Integer(1, config=True, help="The group of it that is the id.")


class HTCondorControllerLauncher(HTCondorLauncher, BatchControllerLauncher):
    """Submits the controller to HTCondor."""

    batch_file_name = _script("htcondor_controller")


class HTCondorEngineSetLauncher(HTCondorLauncher, BatchEngineSetLauncher):
    """Submits engines to HTCondor."""

    batch_file_name = _script("htcondor_engines")
