"""Wire tests: our binaries and the real ipyparallel, mixed over real sockets."""
