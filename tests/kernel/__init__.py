"""Tests of ipengine as a Jupyter kernel."""
