"""Loads the jobs of this app."""

from . import actions  # noqa: F401
