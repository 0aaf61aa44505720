import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from .operations import Op


class JobQuerySet(models.QuerySet["Job"]):
    def due(self, now: datetime) -> Self:
        return self.filter(state__in=Job.RUNNABLE, run_after__lte=now)

    def lapsed(self, now: datetime) -> Self:
        """Jobs whose worker has not been heard of for a whole lease."""
        return self.filter(state__in=Job.HELD, lease_until__lt=now)

    def unfinished(self) -> Self:
        return self.filter(state__in=Job.UNFINISHED)

    def needing_attention(self) -> Self:
        return self.filter(state__in=Job.ATTENTION, dismissed=False)

    def for_target(self, target: models.Model) -> Self:
        return self.filter(
            target_type=target._meta.label_lower, target_id=str(target.pk)
        )


class Job(models.Model):
    """One change that must still be made at Mixpanel, and how it went.

    The row is the truth. A Celery message only says "look at this row".
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        CLAIMED = "claimed"
        SENDING = "sending"
        UNKNOWN = "unknown", "Outcome unknown"
        RECONCILING = "reconciling"
        ADOPTED = "adopted"
        ACCEPTED = "accepted"
        POLLING = "polling", "Watching the run"
        WAITING = "waiting"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        NEEDS_DECISION = "needs_decision", "Needs a decision"
        DEAD = "dead", "Given up"

    RUNNABLE = (State.QUEUED, State.WAITING, State.UNKNOWN)
    HELD = (State.CLAIMED, State.SENDING, State.RECONCILING)
    ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.DEAD)
    # Unless somebody has dismissed it.
    ATTENTION = (State.NEEDS_DECISION, State.DEAD, State.FAILED)
    UNFINISHED = (
        *RUNNABLE,
        *HELD,
        State.ADOPTED,
        State.ACCEPTED,
        State.POLLING,
        State.NEEDS_DECISION,
    )
    # While one of these holds a fingerprint, a twin must wait: otherwise nobody could
    # tell whose object a later look finds.
    UNSETTLED = (
        State.SENDING,
        State.UNKNOWN,
        State.RECONCILING,
        State.NEEDS_DECISION,
    )

    class Wait(models.TextChoices):
        NONE = "", "Nothing"
        RETRY = "retry", "Trying again"
        RATE = "rate", "Mixpanel's rate limit"
        BREAKER = "breaker", "Mixpanel does not answer"
        CREDENTIAL = "credential", "The service account was refused"
        TWIN = "twin", "An identical request is unsettled"
        SETTLE = "settle", "Giving Mixpanel time to show the result"
        PAUSED = "paused", "Paused by a person"
        FUTURE = "future", "Records dated in the future"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    task = models.CharField(max_length=60)
    op = models.CharField(max_length=15, choices=Op)
    title = models.CharField(max_length=300)
    params = models.JSONField(default=dict)
    project = models.ForeignKey(
        "projects.Project", null=True, on_delete=models.CASCADE, related_name="jobs"
    )
    service_account = models.ForeignKey(
        "service_accounts.ServiceAccount",
        null=True,
        on_delete=models.SET_NULL,
        related_name="jobs",
    )
    target_type = models.CharField(max_length=40, blank=True)
    target_id = models.CharField(max_length=40, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    state = models.CharField(max_length=15, choices=State, default=State.QUEUED)
    wait_reason = models.CharField(
        max_length=12, choices=Wait, default=Wait.NONE, blank=True
    )
    run_after = models.DateTimeField()
    # The fencing token: every write of a worker names the token of its own claim.
    token = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    heard_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=120, blank=True)
    rung_at = models.DateTimeField(null=True)
    attempt_count = models.PositiveIntegerField(default=0)
    recoveries = models.PositiveIntegerField(default=0)
    fingerprint = models.CharField(max_length=64, blank=True)

    error_kind = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    error_raw = models.TextField(blank=True)
    # What a person may choose from when the state is needs_decision.
    decision = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    dismissed = models.BooleanField(default=False)
    # While it was being sent: it is cancelled once that can be done.
    cancel_asked = models.BooleanField(default=False)

    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField()

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(
                fields=["run_after"],
                name="jobs_due",
                condition=Q(state__in=["queued", "waiting", "unknown"]),
            ),
            models.Index(
                fields=["lease_until"],
                name="jobs_held",
                condition=Q(state__in=["claimed", "sending", "reconciling"]),
            ),
            models.Index(fields=["target_type", "target_id"], name="jobs_by_target"),
            models.Index(fields=["project", "-created_at", "-id"], name="jobs_newest"),
            models.Index(fields=["state", "-created_at", "-id"], name="jobs_by_state"),
            # The orders of the list, and the counts in its header with who may see what.
            models.Index(fields=["-created_at", "-id"], name="jobs_by_time"),
            models.Index(fields=["title", "id"], name="jobs_by_title"),
            models.Index(
                fields=["-attempt_count", "-created_at", "-id"], name="jobs_by_attempts"
            ),
            models.Index(
                fields=["state", "project", "service_account", "actor"],
                name="jobs_counts",
            ),
            models.Index(fields=["project", "state"], name="jobs_counts_of_project"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "fingerprint"],
                name="jobs_one_unsettled_twin",
                condition=Q(
                    state__in=["sending", "unknown", "reconciling", "needs_decision"]
                )
                & ~Q(fingerprint=""),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("jobs:detail", args=[self.pk])

    @property
    def is_ended(self) -> bool:
        return self.state in self.ENDED

    @property
    def can_cancel(self) -> bool:
        return self.state in (self.State.QUEUED, self.State.WAITING)

    @property
    def may_be_cancelled(self) -> bool:
        """Now, or once it is known what became of what is being sent."""
        under_way = (*self.HELD, self.State.UNKNOWN)
        return self.can_cancel or (self.state in under_way and not self.cancel_asked)

    @property
    def can_retry(self) -> bool:
        return self.state in (self.State.FAILED, self.State.DEAD, self.State.WAITING)


class Attempt(models.Model):
    """One sending of a job, written before the first byte goes out."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    token = models.PositiveIntegerField()
    request_id = models.UUIDField(default=uuid.uuid4)
    credential_version = models.PositiveIntegerField(default=0)
    # What Mixpanel listed just before; what is not in it may be this attempt's work.
    known_before = models.JSONField(default=list)
    # Each look after an unknown outcome: {"at": iso time, "found": [remote ids]}.
    looks = models.JSONField(default=list)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    # "" while it is not known; then "done" or the kind of the error.
    outcome = models.CharField(max_length=40, blank=True)
    http_status = models.PositiveSmallIntegerField(null=True)
    mixpanel_request_id = models.CharField(max_length=100, blank=True)
    remote_id = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "number"], name="jobs_attempt_number_once"
            )
        ]

    def __str__(self) -> str:
        return f"Attempt {self.number} of {self.job_id}"


class Bucket(models.Model):
    """The calls counted against one limit, as the times of the newest ones."""

    key = models.CharField(max_length=120, primary_key=True)
    # Unix seconds of the calls inside the window, oldest first.
    taken = models.JSONField(default=list)
    closed_until = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.key


class Breaker(models.Model):
    """Whether calls to one project or host are held back because they keep failing."""

    key = models.CharField(max_length=120, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    opened = models.PositiveIntegerField(default=0)
    open_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.key


class PollQuerySet(models.QuerySet["Poll"]):
    def due(self, now: datetime) -> Self:
        free = Q(lease_until=None) | Q(lease_until__lt=now)
        return self.filter(free, next_at__lte=now)


class Poll(models.Model):
    """Something of a project that is looked at again and again, at a changing pace."""

    name = models.CharField(max_length=40)
    project = models.ForeignKey(
        "projects.Project", on_delete=models.CASCADE, related_name="polls"
    )
    next_at = models.DateTimeField()
    interval = models.FloatField(default=0)
    token = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    rung_at = models.DateTimeField(null=True)
    polled_at = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    error_kind = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)

    objects = PollQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["next_at"], name="jobs_poll_due")]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], name="jobs_poll_once_per_project"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.project_id}"


class Beat(models.Model):
    """When a part of the machinery was last heard of."""

    name = models.CharField(max_length=60, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Intent(models.Model):
    """A POST with an Idempotency-Key, and the answer that it got."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    key = models.CharField(max_length=200)
    route = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "key", "route"], name="jobs_intent_key_once"
            )
        ]

    def __str__(self) -> str:
        return self.key
