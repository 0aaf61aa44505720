from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mixadmin.common.remedies import explain, explain_record
from mixadmin.common.serializers import (
    OBJECT,
    Flag,
    Plain,
    Reader,
    Row,
    Several,
    Shape,
    Shown,
    Text,
    Whole,
    Word,
)
from mixadmin.jobs.serializers import ExplainedSerializer, explained

from . import queries
from .models import (
    Ingestion,
    IngestionFile,
    RejectedGroup,
    UnsettledBatch,
)

COUNT_SCHEMA = {
    "type": "object",
    "additionalProperties": {"type": "integer"},
    "description": "read = imported + refused + invalid + dropped + held + unsettled; "
    "pending is what the check has seen and was not read yet.",
}


class Fraction(Shape, serializers.FloatField):
    """A number, whole or not."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, bool) and isinstance(data, int | float):
            with suppress(OverflowError):
                return float(data)
        raise serializers.ValidationError("Must be a number.", code="type")


def told(kind: str, message: str) -> dict[str, str] | None:
    """An error with what it means and what to do; None where there is none."""
    if not kind and not message:
        return None
    return explained(explain(kind, message=message), kind=kind, message=message)


# --- Showing --------------------------------------------------------------------------


class IngestionSerializer(Row):
    """Files of records of one kind on their way into a project."""

    created_by = serializers.SerializerMethodField()
    counts = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()

    class Meta:
        model = Ingestion
        fields = [
            "id",
            "project",
            "name",
            "kind",
            "state",
            "start",
            "check_first",
            "credential",
            "mends",
            "insert_id_fields",
            "batch_records",
            "batch_bytes",
            "concurrency",
            "lanes",
            "first_days",
            "slice_days",
            "most_refused_percent",
            "origin",
            "created_by",
            "created_at",
            "started_at",
            "ended_at",
            "counts",
            "progress",
            "error",
        ]

    def get_created_by(self, ingestion: Ingestion) -> str | None:
        """The username of the person, null for the command line."""
        return ingestion.created_by.get_username() if ingestion.created_by else None

    @extend_schema_field(COUNT_SCHEMA)
    def get_counts(self, ingestion: Any) -> dict[str, int]:
        counts: dict[str, int] = ingestion.books
        return counts

    def get_progress(self, ingestion: Any) -> float | None:
        """0 to 1 while it is checked or sent, else null."""
        share: float | None = ingestion.share
        return share

    @extend_schema_field(ExplainedSerializer(allow_null=True))
    def get_error(self, ingestion: Ingestion) -> dict[str, str] | None:
        return told(ingestion.error_kind, ingestion.error_message)


class IngestionDetailSerializer(IngestionSerializer):
    """An ingestion with what its check found and how it goes."""

    report = Shown(help_text="What the check found; {} before its end.")
    slices = Shown(
        help_text="Of a staged backfill: [{from, to}] in unix seconds, newest first."
    )
    speed = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField()
    open_decisions = serializers.SerializerMethodField()

    class Meta(IngestionSerializer.Meta):
        fields = [
            *IngestionSerializer.Meta.fields,
            "slices",
            "slice",
            "speed",
            "files",
            "open_decisions",
            "report",
        ]

    @extend_schema_field(OBJECT)
    def get_speed(self, ingestion: Ingestion) -> dict[str, Any]:
        """Bytes of the stored files, records a second, and seconds that are left (null
        while that is not known)."""
        now = queries.progress(ingestion)
        return {
            "bytes": now.total,
            "bytes_done": now.done,
            "records_per_second": round(now.rate, 1),
            "seconds_left": None if now.left is None else round(now.left),
        }

    def get_files(self, ingestion: Ingestion) -> int:
        return ingestion.files.count()

    def get_open_decisions(self, ingestion: Ingestion) -> int:
        """Batches with an unknown outcome that a person must decide about."""
        return queries.unknown_batches(ingestion).count()


class IngestionFileSerializer(Row):
    """One file, where it lies and how far it is."""

    counts = serializers.SerializerMethodField()
    bytes_done = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()

    class Meta:
        model = IngestionFile
        fields = [
            "id",
            "name",
            "place",
            "upload",
            "bucket",
            "directory",
            "path",
            "size",
            "compression",
            "sha256",
            "state",
            "checked_bytes",
            "bytes_done",
            "started_at",
            "ended_at",
            "counts",
            "error",
        ]

    @extend_schema_field(COUNT_SCHEMA)
    def get_counts(self, file: Any) -> dict[str, int]:
        counts: dict[str, int] = file.books
        return counts

    def get_bytes_done(self, file: Any) -> int:
        """Stored bytes that are settled in the current slice."""
        done: int = file.done
        return done

    @extend_schema_field(ExplainedSerializer(allow_null=True))
    def get_error(self, file: IngestionFile) -> dict[str, str] | None:
        return told(file.error_kind, file.error_message)


class RejectedGroupSerializer(Row):
    """The rejected records that share code, field and message."""

    title = serializers.SerializerMethodField()
    meaning = serializers.SerializerMethodField()
    remedy = serializers.SerializerMethodField()
    mend = serializers.SerializerMethodField()
    examples = Shown(
        help_text="[{file, line, record}], the first few; records are cut."
    )

    class Meta:
        model = RejectedGroup
        fields = [
            "id",
            "code",
            "field",
            "message",
            "count",
            "title",
            "meaning",
            "remedy",
            "mend",
            "examples",
        ]

    def get_title(self, group: RejectedGroup) -> str:
        return explain_record(group.code, group.message).title

    def get_meaning(self, group: RejectedGroup) -> str:
        return explain_record(group.code, group.message).meaning

    def get_remedy(self, group: RejectedGroup) -> str:
        return explain_record(group.code, group.message).remedy

    def get_mend(self, group: RejectedGroup) -> str:
        """What can cure it when it is sent again; "" where nothing can."""
        return explain_record(group.code, group.message).mend


class UnsettledBatchSerializer(Row):
    """Profile updates that must not be sent twice, and of which nobody knows."""

    file = serializers.SerializerMethodField()
    decided_by = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()

    class Meta:
        model = UnsettledBatch
        fields = [
            "id",
            "file",
            "first_line",
            "last_line",
            "records",
            "state",
            "sent_at",
            "decided_by",
            "error",
        ]

    def get_file(self, batch: UnsettledBatch) -> str:
        return batch.part.file.name

    def get_decided_by(self, batch: UnsettledBatch) -> str | None:
        return batch.decided_by.get_username() if batch.decided_by else None

    @extend_schema_field(ExplainedSerializer(allow_null=True))
    def get_error(self, batch: UnsettledBatch) -> dict[str, str] | None:
        return told(batch.error_kind, batch.error_message)


# --- Reading --------------------------------------------------------------------------


class ChosenFile(Reader):
    """A file, or with a path that ends in "/" all files below it."""

    place = Text(required=True, help_text="upload, directory or bucket.")
    upload = Text(required=False, help_text="With upload: its id.")
    directory = Text(required=False, help_text="With directory: its name.")
    bucket = Whole(required=False, help_text="With bucket: its id.")
    path = Text(required=False, help_text="In the directory, or the key in the bucket.")


class Names(Several):
    """A list of words; other things are told off by the rules."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=Text(), required=False, **options)


class Settings(Reader):
    """How records are sent. What is left out is as the form has it."""

    name = Text(required=False, help_text="Left out: the name of the first file.")
    start = Text(
        required=False,
        help_text="asked (default): when somebody says so; clean: at once if nothing "
        "would be refused; always.",
    )
    check_first = Flag(
        required=False, help_text="false: records are judged only while they are sent."
    )
    credential = Text(required=False, help_text="service_account (default) or token.")
    mends = Names(help_text="Slugs of the catalogue.")
    insert_id_fields = Names(help_text="With the mend insert_id.derive.")
    batch_records = Whole(required=False, help_text="At most, of one request.")
    batch_bytes = Whole(required=False, help_text="At most, of one request.")
    concurrency = Whole(required=False, help_text="Requests at the same time.")
    lanes = Whole(required=False, help_text="Workers at the same time.")
    first_days = Whole(
        required=False, help_text="Staged backfill: days of the first slice."
    )
    slice_days = Whole(required=False, help_text="Days of each further slice.")
    most_refused_percent = Fraction(
        required=False, help_text="More than this, and the next slice waits for you."
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        read = super().to_internal_value(data)
        # Left out and null are the same: as it is by default.
        given = {name: data[name] for name in data} if isinstance(data, Mapping) else {}
        return {
            name: value
            for name, value in read.items()
            if name not in OPTIONAL or given.get(name) is not None
        }


OPTIONAL = frozenset(
    (
        "name",
        "start",
        "check_first",
        "credential",
        "mends",
        "insert_id_fields",
    )
)


class NewIngestion(Settings):
    kind = Text(required=True, help_text="events, people or groups.")
    files = Several(child=ChosenFile(), required=True)


class Resending(Settings):
    groups = Several(
        child=Whole(),
        required=False,
        help_text="Ids of groups of rejected records; left out: all.",
    )


class BatchDecision(Reader):
    choice = Text(
        required=True,
        help_text="arrived: they count as imported. again: they are sent once more.",
    )


class LiveEvents(Reader):
    endpoint = Text(required=True, help_text="import or track.")
    events = Several(child=serializers.JSONField(), required=True)
    credential = Text(
        required=False,
        default=Ingestion.Credential.SERVICE_ACCOUNT,
        help_text="With import: service_account or token.",
    )


# --- Live events ----------------------------------------------------------------------


class ExchangeSerializer(Plain):
    """A request as it went out, and what came back. Credentials are removed."""

    method = serializers.CharField()
    url = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField())
    body = serializers.CharField()
    status = serializers.IntegerField(allow_null=True)
    answer_headers = serializers.DictField(child=serializers.CharField())
    answer = serializers.CharField()
    error_ = serializers.CharField()


class FoundSerializer(Plain):
    """Something about one of the events, counted from 1."""

    event = serializers.IntegerField()
    code = serializers.CharField()
    severity = Word(choices=dict.fromkeys(("refused", "dropped", "altered", "risky")))
    title = serializers.CharField()
    meaning = serializers.CharField()
    remedy = serializers.CharField()


class WordsSerializer(Plain):
    title = serializers.CharField()
    meaning = serializers.CharField()
    remedy = serializers.CharField()


class SentSerializer(Plain):
    """What became of live events."""

    verdict = serializers.CharField()
    arrived = serializers.IntegerField(
        allow_null=True, help_text="How many Mixpanel says it stored; null: not told."
    )
    found = FoundSerializer(many=True)
    error_ = WordsSerializer(allow_null=True)
    exchange = ExchangeSerializer(allow_null=True)


# --- Catalogue ------------------------------------------------------------------------


class MendSerializer(Plain):
    """Something that may be put right on the way."""

    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    meaning = serializers.CharField()
    cures = serializers.SerializerMethodField()
    kinds = serializers.SerializerMethodField()

    def get_cures(self, mend: Any) -> list[str]:
        """Codes of the findings that it is for."""
        return sorted(mend.cures)

    def get_kinds(self, mend: Any) -> list[str]:
        return sorted(mend.kinds)


class RuleSerializer(Plain):
    """Something that can be found in a file."""

    code = serializers.CharField()
    title = serializers.CharField()
    meaning = serializers.CharField()
    remedy = serializers.CharField()
    severity = serializers.DictField(
        child=serializers.CharField(), help_text="By where the file goes."
    )
    mend = serializers.CharField()


class RecordKindSerializer(Plain):
    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    path = serializers.CharField()


class IngestionCatalogueSerializer(Plain):
    """Everything that a form for ingestions asks for."""

    kinds = RecordKindSerializer(many=True)
    mends = MendSerializer(many=True)
    findings = RuleSerializer(many=True)
    limits = serializers.DictField(child=serializers.IntegerField())
