"""Every waiting time of the jobs, in seconds, in one table.

`MIXADMIN_TIME_SCALE` multiplies all of them, so that each recovery path can be watched
in a test within a second.
"""

from dataclasses import dataclass, fields

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Times:
    # One call to Mixpanel. The total is enforced by the client's watchdog.
    connect: float = 5
    read: float = 15
    total: float = 30
    # One request of records, which may be megabytes and is worked through record by
    # record.
    read_batch: float = 45
    batch: float = 60
    # A worker that says nothing for this long has lost its job. At least two calls long.
    lease: float = 90
    # How late Mixpanel may still commit a create whose answer never came.
    settle: float = 120
    # Between the two looks that prove that a create did not happen.
    look_again: float = 15
    # How long the history is watched for a run whose start was not confirmed.
    run_window: float = 900
    # An accepted run that shows up in no history for this long is reported.
    run_unseen: float = 1_800
    # One turn of work of many steps, before others get the worker.
    turn: float = 60
    # How often long work says that it lives, and writes down how far it is.
    heartbeat: float = 15
    backoff_first: float = 2
    backoff_most: float = 60
    backoff_jitter: float = 5
    retry_after_most: float = 3_600
    # After this a job stops trying by itself.
    give_up: float = 86_400
    breaker_first: float = 30
    breaker_most: float = 600
    # A due row is rung again when its message seems to be lost.
    ring_again: float = 30
    poll_busy: float = 3
    poll_first: float = 15
    poll_most: float = 600
    # Two sightings of an absence at least this far apart mean that a thing is gone.
    absence: float = 60

    def scaled(self, factor: float) -> "Times":
        times = {f.name: getattr(self, f.name) * factor for f in fields(self)}
        for name, least in SHORTEST.items():
            times[name] = max(times[name], min(least, getattr(self, name)))
        return Times(**times)


# A real call over a real socket needs these, however small the scale: a lease must
# outlast a call, or a live worker would lose its job.
SHORTEST = {
    "connect": 1.0,
    "read": 2.0,
    "total": 3.0,
    "read_batch": 5.0,
    "batch": 10.0,
    "lease": 8.0,
    "turn": 2.0,
    "heartbeat": 1.0,
}


TIMES = Times().scaled(settings.TIME_SCALE)
