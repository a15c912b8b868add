"""Configuration: the files of a profile, and what their names mean here."""
