"""What the pages for ingestions ask for."""

import re
from collections.abc import Iterable
from typing import Any

from django import forms
from django.conf import settings

from mixadmin.common.forms import ActionForm, Choice, Json, Number, Text, Tick
from mixadmin.dataprep.findings import RULES
from mixadmin.dataprep.mending import MENDS, Mend
from mixadmin.files.models import SourceBucket
from mixadmin.projects.models import Project

from . import kinds
from .live import ENDPOINTS
from .models import Ingestion

DECIMAL = re.compile(r"\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*\Z", re.ASCII)


class Decimal(Text):
    """A number, None when left out; other text goes on to be told off."""

    def to_python(self, value: Any) -> Any:
        if value is None or value == "":
            return None
        return float(value) if DECIMAL.match(value) else value


class Lines(Text):
    """One text a line; blank lines are none."""

    def __init__(self, *, rows: int = 3, **kwargs: Any) -> None:
        attrs = {"rows": rows, "spellcheck": "false", "class": "code"}
        super().__init__(widget=forms.Textarea(attrs), **kwargs)

    def to_python(self, value: Any) -> list[str]:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class Slugs(Text):
    """Several ticks; a slug that is not known goes on to be told off."""

    widget = forms.CheckboxSelectMultiple

    def to_python(self, value: Any) -> list[str]:
        return list(dict.fromkeys(value or []))


class SettingsForm(ActionForm):
    """How records are sent. Errors open what is folded. kind: where it is known."""

    def __init__(self, *args: Any, kind: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.record_kind = kind

    name = Text(label="Name", help_text="Left empty, the name of the first file.")
    start = Choice(
        label="After the check",
        choices=(
            ("asked", "Wait until somebody has looked at the findings"),
            ("clean", "Send at once if nothing would be refused"),
            ("always", "Send at once, whatever is found"),
        ),
        initial="asked",
    )
    check_first = Tick(
        label="Read all files before anything is sent",
        help_text="Without it records are judged only while they are sent, which saves "
        "reading everything twice; nobody can look at findings before.",
        initial=True,
    )
    mends = Slugs(label="Put right on the way")
    insert_id_fields = Lines(
        label="Properties that make an $insert_id",
        help_text="One a line, only for “Derive missing $insert_ids”: events that are "
        "equal in all of them count as one.",
    )
    credential = Choice(
        label="Credential",
        choices=Ingestion.Credential.choices,
        help_text="Of events. Profiles always go with the project token.",
        initial=Ingestion.Credential.SERVICE_ACCOUNT,
    )
    batch_records = Number(
        label="Records per request",
        help_text=f"At most {kinds.MOST_RECORDS:,}.",
        initial=kinds.MOST_RECORDS,
    )
    batch_bytes = Number(
        label="Bytes per request",
        help_text=f"From {kinds.LEAST_BYTES:,} to {kinds.MOST_BYTES:,}, before "
        "compression.",
        initial=kinds.BYTES,
    )
    concurrency = Number(
        label="Requests at the same time",
        help_text=f"At most {kinds.MOST_CONCURRENCY}.",
        initial=kinds.CONCURRENCY,
    )
    lanes = Number(
        label="Workers at the same time",
        help_text=f"At most {kinds.MOST_LANES}. Profiles are sent by one, since their "
        "order matters.",
        initial=kinds.LANES,
    )
    first_days = Number(
        label="Days of the first slice",
        help_text="Send the events of the last days first, and look at them in Mixpanel "
        "before the rest goes. Empty: everything in the order of the files.",
    )
    slice_days = Number(
        label="Days of each further slice",
        help_text="Going back in time. Empty: all the rest in one.",
    )
    most_refused_percent = Decimal(
        label="Stop when more than this is refused, in percent",
        help_text="Looked at after each slice: the next one then waits for you. Empty: "
        "it never waits.",
    )

    @property
    def start_group(self) -> list[Any]:
        return [self["start"], self["check_first"]]

    @property
    def request_group(self) -> list[Any]:
        names = ("credential", "batch_records", "batch_bytes", "concurrency", "lanes")
        return [self[name] for name in names]

    @property
    def slice_group(self) -> list[Any]:
        names = ("first_days", "slice_days", "most_refused_percent")
        return [self[name] for name in names]

    @property
    def open_requests(self) -> bool:
        return any(field.errors for field in self.request_group)

    @property
    def open_slices(self) -> bool:
        return any(field.errors or field.value() for field in self.slice_group)

    @property
    def open_mends(self) -> bool:
        return bool(
            self["mends"].value()
            or self["mends"].errors
            or self["insert_id_fields"].errors
        )

    @property
    def mend_ticks(self) -> list[dict[str, Any]]:
        """Each mend, what it cures in words, and whether it is ticked."""
        ticked = self["mends"].value() or []
        return [
            {"mend": mend, "cures": _cures(mend), "ticked": mend.slug in ticked}
            for mend in MENDS.values()
            if not self.record_kind or self.record_kind in mend.kinds
        ]

    def settings(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SettingsForm.base_fields}


def _cures(mend: Mend) -> str:
    return ", ".join(RULES[code].title for code in sorted(mend.cures) if code in RULES)


class IngestionForm(SettingsForm):
    """Files for sending. Those of the form itself come with the request."""

    paths = {"uploads": "files"}
    kind = Choice(
        label="What the files hold",
        choices=[("", "Choose…"), *kinds.CHOICES],
        asked=True,
    )
    place = Choice(label="Where the paths are")
    manifest = Lines(
        label="Paths",
        rows=4,
        help_text="One a line, besides what is ticked. A path that ends in a slash stands "
        "for all files below it; a single slash for everything.",
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not in the class, where Django's form has an attribute of that name.
        self.fields["files"] = Text(label="Files")
        buckets = SourceBucket.objects.filter(project=project)
        self.places = [
            *((f"directory:{n}", n) for n in sorted(settings.INGEST_DIRECTORIES)),
            *((f"bucket:{bucket.pk}", str(bucket)) for bucket in buckets),
        ]
        place: Any = self.fields["place"]
        place.offer([("", "Choose…"), *self.places])

    def chosen(
        self, *, uploads: Iterable[str], paths: Iterable[str]
    ) -> list[dict[str, Any]]:
        """What was chosen, for `actions.choose_files`."""
        found: list[dict[str, Any]] = [
            {"place": "upload", "upload": upload} for upload in uploads
        ]
        place, _, name = self.cleaned_data["place"].partition(":")
        for path in [*paths, *self.cleaned_data["manifest"]]:
            one: dict[str, Any] = {"place": place, "path": "" if path == "/" else path}
            if place == "bucket":
                one["bucket"] = int(name) if re.fullmatch("[0-9]{1,18}", name) else 0
            else:
                one["directory"] = name
            found.append(one)
        return found


class ResendForm(SettingsForm):
    groups = Text(label="Groups")


class LiveForm(ActionForm):
    endpoint = Choice(
        label="Endpoint",
        choices=[(one.slug, one.label) for one in ENDPOINTS.values()],
        initial="import",
    )
    credential = Choice(
        label="Credential",
        choices=Ingestion.Credential.choices,
        help_text="/track takes the project token only.",
        initial=Ingestion.Credential.SERVICE_ACCOUNT,
    )
    events = Json(
        label="Events",
        help_text="One event as a JSON object, or a list of them. The token is put in "
        "when they are sent.",
        widget=forms.Textarea({"rows": 14, "spellcheck": "false", "class": "code"}),
        asked=True,
    )

    def wanted(self) -> dict[str, Any]:
        values = self.cleaned_data
        events = values["events"]
        if isinstance(events, dict):
            events = [events]
        return {**values, "events": [] if events is None else events}
