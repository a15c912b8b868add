"""Tests of ipcluster: processes, files and exit codes."""
