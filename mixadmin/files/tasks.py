"""Loads what is done in the background with files."""

from mixadmin.jobs.registry import on_tick, poller

from . import actions


@on_tick
def remove_old_uploads() -> None:
    actions.remove_old()


poller(actions.POLL)(actions.hash_uploads)
