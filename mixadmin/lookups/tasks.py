"""Loads the jobs and polls of this app."""

from . import actions, polling  # noqa: F401
