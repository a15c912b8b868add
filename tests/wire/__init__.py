"""Wire tests: our binaries and the real ipyparallel, mixed over real sockets.

Run with an interpreter that has ipyparallel, numpy and pytest::

    python -m pytest tests/wire -n 2 --dist loadgroup     pairings A, B and C with our binaries
    IPF_WIRE_PAIRINGS=C python -m pytest tests/wire       only one of the pairings
    IPF_WIRE_ORACLE=1 python -m pytest tests/wire         the reference alone: proves the tests

Our binaries are taken from ``$IPF_BIN_DIR``, else from the directory of ``sys.executable``.
"""
