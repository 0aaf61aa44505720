from typing import Any

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.reverse import reverse

from mixadmin.common.causes import Cause
from mixadmin.common.remedies import explain
from mixadmin.common.serializers import Reader, Row, Shown, Text, Word

from .models import Attempt, Job

# What a job can be about: the API's word -> the label of its rows.
TARGETS = {
    "project": "projects.project",
    "service_account": "service_accounts.serviceaccount",
    "warehouse_source": "warehouse.warehousesource",
    "warehouse_import": "warehouse.warehouseimport",
    "connector": "connectors.connector",
    "upload": "files.upload",
    "bucket": "files.sourcebucket",
    "lookup_table": "lookups.lookuptable",
    "ingestion": "ingestion.ingestion",
}


def target_word(label: str) -> str:
    """The API's word for a row's label, which stands for itself where it has none."""
    return next((word for word, known in TARGETS.items() if known == label), label)


class ExplainedSerializer(serializers.Serializer[Any]):
    """An error with what it means and what to do."""

    code = Word(help_text="Of the cause, as the catalogue of errors has it.")
    url = serializers.CharField(help_text="The cause's page in the catalogue.")
    kind = Word()
    message = serializers.CharField(help_text="As it came.")
    title = serializers.CharField()
    meaning = serializers.CharField()
    remedy = serializers.CharField()
    raw = serializers.CharField(help_text="The answer it stands in, cut to 8 KiB.")


def explained(
    cause: Cause, *, kind: str, message: str = "", raw: str = ""
) -> dict[str, str]:
    """An error as ExplainedSerializer has it."""
    return {
        "code": cause.code,
        "url": reverse("errors:detail", args=[cause.code]),
        "kind": kind,
        "message": message,
        "title": cause.title,
        "meaning": cause.meaning,
        "remedy": cause.remedy,
        "raw": raw,
    }


class TargetSerializer(serializers.Serializer[Any]):
    """What a job or an entry is about."""

    type = Word(choices=dict.fromkeys(TARGETS))
    id = serializers.CharField()


class JobSerializer(Row):
    """One change that must still be made at Mixpanel, and how it went."""

    target = serializers.SerializerMethodField()
    actor = serializers.SerializerMethodField()
    wait = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    decision = Shown(
        help_text="With the state needs_decision: why, and the candidates to choose from."
    )
    result = Shown()

    class Meta:
        model = Job
        fields = [
            "id",
            "title",
            "task",
            "state",
            "project",
            "service_account",
            "target",
            "actor",
            "wait_reason",
            "wait",
            "run_after",
            "heard_at",
            "attempt_count",
            "error",
            "decision",
            "result",
            "can_cancel",
            "cancel_asked",
            "can_retry",
            "is_ended",
            "dismissed",
            "created_at",
            "started_at",
            "ended_at",
            "deadline_at",
        ]

    @extend_schema_field(TargetSerializer(allow_null=True))
    def get_target(self, job: Job) -> dict[str, str] | None:
        if not job.target_type:
            return None
        return {"type": target_word(job.target_type), "id": job.target_id}

    def get_actor(self, job: Job) -> str | None:
        """The username of who asked for it, null for the machinery."""
        return job.actor.get_username() if job.actor else None

    def get_wait(self, job: Job) -> str:
        """What it waits for in words, "" when it does not wait."""
        waits = job.state in (Job.State.WAITING, Job.State.UNKNOWN)
        return job.get_wait_reason_display() if waits and job.wait_reason else ""

    @extend_schema_field(ExplainedSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        if not job.error_kind and not job.error_message:
            return None
        return explained(
            explain(job.error_kind, message=job.error_message),
            kind=job.error_kind,
            message=job.error_message,
            raw=job.error_raw,
        )


class AttemptSerializer(Row):
    """One sending of a job."""

    looks = Shown()

    class Meta:
        model = Attempt
        fields = [
            "number",
            "request_id",
            "started_at",
            "ended_at",
            "outcome",
            "http_status",
            "mixpanel_request_id",
            "remote_id",
            "error",
            "looks",
        ]


class JobDetailSerializer(JobSerializer):
    """A job with its attempts."""

    attempts = AttemptSerializer(many=True, read_only=True)

    class Meta(JobSerializer.Meta):
        fields = [*JobSerializer.Meta.fields, "attempts"]


class Decision(Reader):
    choice = Text(required=True, help_text="adopt, again or give_up.")
    candidate = Text(
        required=False, default="", help_text="With adopt: the id of a candidate."
    )


def accepted(job: Job, **things: Any) -> Response:
    """202 with the job, whose address is the Location, and with what it is about."""
    location = reverse("api:job", args=[job.pk])
    body = {"job": JobSerializer(job).data, **things}
    return Response(body, status=202, headers={"Location": location})


def accepted_schema(name: str, **things: Any) -> dict[int, Any]:
    """How `accepted` looks in the schema."""
    fields = {"job": JobSerializer(), **things}
    return {202: inline_serializer(name=name, fields=fields)}
