"""Python side of the engine: the IPython shell that the C++ process embeds.

Nothing is imported here, so that the C++ host decides when the cost of IPython is paid.
"""
