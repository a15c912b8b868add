"""What the documents that founded the project show, line by line, and where it is tested.

A row is one thing that the documents show: a command, a line of a log, a snippet of code. The test
of a row runs what it shows, as it is written, and has the mark ``@pytest.mark.seeds(number, ...)``;
it may be anywhere below tests/. `test_table.py` keeps table and marks together: a row without a
test says ``tested=False`` here, and loses that with its first test.

The documents: S0 and S1 rows 1 to 31, S2 (notebook) 32 to 50, S3 (overview) 51 to 71, S4 (IPython1)
72 to 97.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Area = Literal["client", "cluster", "controller", "engine", "docs", "nothing"]


@dataclass(frozen=True)
class Row:
    """One thing that the documents show.

    Attributes
    ----------
    area
        The part of the product that it is about; "nothing" if it asks for nothing of ours.
    shows
        The text in short.
    tested
        Whether a test runs it.
    """

    area: Area
    shows: str
    tested: bool = True


ROWS: dict[int, Row] = {
    1: Row("docs", "hub, engine, schedulers, client, and five connections between them"),
    2: Row("engine", "an engine is a kernel of IPython with more commands"),
    3: Row("controller", "the hub establishes and monitors connections"),
    4: Row("client", "the client stays asynchronous while engines block"),
    5: Row("client", "Client, DirectView, LoadBalancedView at the top level"),
    6: Row("controller", "$ ipcontroller"),
    7: Row("controller", "Hub listening on tcp://127.0.0.1:53847 for registration."),
    8: Row("controller", "Hub using DB backend: 'DictDB'"),
    9: Row("controller", "hub::created hub"),
    10: Row("controller", "writing connection info to .../ipcontroller-client.json"),
    11: Row("controller", "writing connection info to .../ipcontroller-engine.json"),
    12: Row("controller", "task::using Python leastload Task scheduler"),
    13: Row("controller", "DictDB, MongoDB or SQLite"),
    14: Row("controller", "ipcontroller-client.json is what a client needs"),
    15: Row("controller", "ipcontroller-engine.json is what an engine needs"),
    16: Row("controller", "leastload: the engine with the fewest tasks, by default"),
    17: Row("controller", "lru, plainrandom, twobin, weighted"),
    18: Row("controller", "c.TaskScheduler.scheme_name = 'leastload'"),
    19: Row("controller", "$ ipcontroller --scheme=pure"),
    20: Row("cluster", "$ ipcluster start"),
    21: Row("cluster", "Starting ipcluster with [daemon=False]"),
    22: Row("cluster", "Creating pid file: .../pid/ipcluster.pid"),
    23: Row("cluster", "Starting Controller with LocalControllerLauncher"),
    24: Row("cluster", "Starting 4 Engines with LocalEngineSetLauncher"),
    25: Row("cluster", "engines and controllers on this machine or with SSH"),
    26: Row("cluster", "profiles for MPI, PBS, SGE, LSF, HTCondor, Slurm, SSH, WindowsHPC"),
    27: Row("cluster", "c.IPClusterEngines.engine_launcher_class = 'SSH'"),
    28: Row("cluster", "$ ipcluster start --engines=MPI"),
    29: Row("cluster", "$ jupyter notebook: Loading IPython parallel extension"),
    30: Row("nothing", "lines of other programs: nbextensions_configurator, notebook"),
    31: Row("cluster", "the page of clusters: start the one of profile default"),
    32: Row("nothing", "%%html, figures: IPython"),
    33: Row("controller", "schedulers in processes or threads: --usethreads"),
    34: Row("controller", "hub and schedulers are one controller, a single point of contact"),
    35: Row("client", "all models go through View.apply; users can extend views"),
    36: Row("cluster", "/#clusters"),
    37: Row("cluster", "$ ipcluster start -n 4"),
    38: Row("cluster", "SGE, PBS, LSF, MPI, SSH, WinHPC"),
    39: Row("client", "import ipyparallel as parallel; rc = parallel.Client(); rc.block = True"),
    40: Row("client", "rc.ids"),
    41: Row("client", "def mul(a, b): ...; def summary(): ..."),
    42: Row("client", "mul(5, 6); summary()"),
    43: Row("client", "rc[0].apply(mul, 5, 6)"),
    44: Row("client", "rc[0].apply(summary)"),
    45: Row("client", "rc[:].apply(mul, 5, 6)"),
    46: Row("client", "rc[:].apply(summary)"),
    47: Row("client", "list(map(mul, range(1, 10), range(2, 11)))"),
    48: Row("client", "view = rc.load_balanced_view(); list(view.map(mul, ...))"),
    49: Row("client", "%%px with import os, socket and print"),
    50: Row("docs", "a page about starting processes"),
    51: Row("docs", "a folder of examples"),
    52: Row("client", "styles and use cases; e.g. a collaborator connects and pulls data"),
    53: Row("docs", "installable with pip or conda", False),
    54: Row("engine", "an engine takes requests, runs code, returns results"),
    55: Row("controller", "the hub knows engines, clients, requests and results"),
    56: Row("cluster", "cluster = ipp.Cluster(n=4); await cluster.start_cluster()"),
    57: Row("cluster", "cluster.start_cluster_sync()"),
    58: Row("cluster", "$ ipcluster start -n 4 is ipp.Cluster(n=4, cluster_id='')"),
    59: Row("cluster", "cluster = ipp.Cluster.from_file()"),
    60: Row("cluster", "rc = ipp.Cluster(n=4).start_and_connect_sync()"),
    61: Row("cluster", "rc = cluster.connect_client_sync()"),
    62: Row("client", "rc.wait_for_engines(n=4)"),
    63: Row("client", "rc.ids -> [0, 1, 2, 3]"),
    64: Row("client", 'rc[:].apply_sync(lambda: "Hello, World")'),
    65: Row("client", "a Client without arguments finds ~/.ipython/profile_default/security"),
    66: Row("cluster", 'ipp.Cluster.from_file(profile="myprofile", cluster_id="...")'),
    67: Row("cluster", "ipp.Cluster.from_file('/path/to/my/cluster-.json')"),
    68: Row("client", "ipp.Client('/path/to/...', sshserver='me@myhub.example.com')"),
    69: Row("client", "the ssh server may be in the connection file"),
    70: Row("cluster", "leaving a Client closes sockets, leaving a Cluster stops it"),
    71: Row("client", "ar = e_all.apply_sync(task); ar.wait_interactive(); ar.get()"),
    72: Row("client", "develop, execute, debug and monitor interactively"),
    73: Row("engine", "an engine takes commands and objects, and blocks while it runs"),
    74: Row("engine", "the controller has to be started before engines"),
    75: Row("client", "two interfaces, MultiEngine and Task, at once"),
    76: Row("cluster", "$ ipcluster -n 4"),
    77: Row("cluster", "ipcluster prints the Python commands to connect"),
    78: Row("controller", "$ ipcontroller &"),
    79: Row("engine", "$ ipengine &"),
    80: Row("engine", "$ (ipcontroller &); (ipengine &)"),
    81: Row("controller", "ports that suit local use by default"),
    82: Row("controller", "the log shows engines being registered"),
    83: Row("controller", "host0> ipcontroller &"),
    84: Row("engine", "host1> ipengine --controller-ip=host0 &"),
    85: Row("controller", "$ ipcontroller --engine-port=10001"),
    86: Row("engine", "$ ipengine --controller-port=10001"),
    87: Row("engine", "$ mpirun -n 4 ipengine --controller-port=10000 --controller-ip=host0"),
    88: Row("cluster", "log files in ~/.ipython/log"),
    89: Row("docs", "Security: a heading"),
    90: Row("client", "from ipython1.kernel import client"),
    91: Row("client", "mec = client.MultiEngineController(('127.0.0.1', 10105))"),
    92: Row("client", "mec.get_ids()"),
    93: Row("client", "mec.execute('print \"Hello World\"')"),
    94: Row("docs", "pages about MultiEngine and Task"),
    95: Row("engine", "$ mpirun -n 4 ipengine --mpi=mpi4py"),
    96: Row("engine", "$ mpirun -n 4 ipengine --mpi=pytrilinos"),
    97: Row("engine", "MPI works even if engines do not call MPI_Init"),
}
