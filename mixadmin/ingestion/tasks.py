"""Loads the jobs of this app."""

from . import working  # noqa: F401
