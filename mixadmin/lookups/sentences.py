"""How a lookup table stands, in one sentence, and the one button that mends it."""

from django.urls import reverse
from django.utils.html import format_html

from mixadmin.common.status import Fix, Status, many
from mixadmin.common.templatetags.ui import TONE_OF, when

from .models import LookupTable, LookupVersion

State = LookupVersion.State
STATES = {
    "missing": "Gone from Mixpanel",
    **dict(State.choices),
    "new": "Never replaced from here",
}


def table_status(
    table: LookupTable,
    *,
    newest: LookupVersion | None,
    current: LookupVersion | None,
    uncertain: LookupVersion | None,
) -> Status:
    """newest: the version that was made last; current: the one in Mixpanel, if that is
    known; uncertain: one of which nobody knows whether Mixpanel took it."""
    if table.absent_since:
        sentence = format_html(
            "Mixpanel does not list it since {}. Its versions are kept.",
            when(table.absent_since),
        )
        return Status("bad", STATES["missing"], sentence)
    if uncertain is not None:
        sentence = format_html(
            "Whether Mixpanel took version {} is not known: its answer was lost. Send "
            "that version or another one, and it is.",
            uncertain.number,
        )
        again = _open(uncertain, f"Send version {uncertain.number} again", "send")
        is_busy = newest is not None and newest.state in LookupVersion.GOING_ON
        fix = None if is_busy else again
        return Status("warn", "Content unknown", sentence, fix)
    if newest is None:
        url = reverse("lookups:replace", args=[table.project_id, table.pk])
        first = Fix("Upload the first CSV", url, icon="upload")
        words = "What is in it now is not known here: it was never replaced from here."
        return Status("idle", STATES["new"], words, first)
    said, fix = _newest(newest)
    has = format_html("{}{}", said, _has(current))
    return Status(_tone(newest), STATES[newest.state], has, fix)


def _tone(version: LookupVersion) -> str:
    return TONE_OF.get(version.state, "warn")


def _newest(version: LookupVersion) -> tuple[str, Fix | None]:
    """What there is to say of the newest version besides what Mixpanel has."""
    number = version.number
    if version.state == State.CHECKING:
        return f"Version {number} is being checked. ", None
    if version.state == State.INVALID:
        bad = f", for {many(version.bad_rows, 'bad row')}" if version.bad_rows else ""
        words = f"Mixpanel would refuse version {number}{bad}. "
        return words, _look(version, f"See what is wrong with version {number}")
    if version.state == State.READY:
        words = f"Version {number} is checked and was not sent. "
        label = f"Replace all rows by version {number}"
        return words, _open(version, label, "replace")
    if version.state == State.SENDING:
        return f"All rows are being replaced by version {number}. ", None
    if version.state == State.REFUSED:
        words = f"Mixpanel refused version {number} and changed nothing. "
        return words, _look(version, "See what Mixpanel refused")
    if version.state == State.FAILED:
        words = f"Version {number} was not sent: {version.error_message[:200]} "
        return words, _look(version, f"See why version {number} was not sent")
    return "", None


def _has(current: LookupVersion | None) -> str:
    if current is None:
        return "What Mixpanel has now was not sent from here."
    rows = "rows" if current.rows is None else many(current.rows, "row")
    return format_html(
        'Mixpanel has {} of <a href="{}">version {}</a>, sent {} by {}.',
        rows,
        current.get_absolute_url(),
        current.number,
        when(current.sent_at),
        current.created_by or "mixadmin",
    )


def _look(version: LookupVersion, label: str) -> Fix:
    return Fix(label, version.get_absolute_url(), icon="eye", needs_editor=False)


def _open(version: LookupVersion, label: str, picture: str) -> Fix:
    return Fix(label, version.get_absolute_url(), icon=picture)


def version_status(version: LookupVersion, *, replaced: str = "") -> Status:
    """replaced: what the button says that sends it; "" where it cannot be sent."""
    at = when(version.sent_at)
    fix = None
    if version.can_be_sent and replaced:
        args = [version.table.project_id, version.table_id, version.number]
        url = reverse("lookups:send", args=args)
        fix = Fix(replaced, url, post=True, icon="replace")
    elif version.state in (State.INVALID, State.REFUSED):
        url = reverse(
            "lookups:replace", args=[version.table.project_id, version.table_id]
        )
        fix = Fix("Upload a corrected file", url, icon="upload")
    bad = f" for {many(version.bad_rows, 'bad row')}" if version.bad_rows else ""
    said: dict[str, str] = {
        State.CHECKING: "It is read through from beginning to end. Nothing is sent.",
        State.INVALID: f"Mixpanel would refuse the whole file{bad}. Correct what is "
        "named below and upload it again.",
        State.READY: "Mixpanel would take it. It is sent when somebody says so.",
        State.SENDING: "Mixpanel is being asked to replace all rows by these.",
        State.CURRENT: format_html("Mixpanel has these rows since {}.", at),
        State.REPLACED: format_html(
            "Mixpanel had these rows from {} until another version replaced them.", at
        ),
        State.REFUSED: "Mixpanel refused the file and changed nothing.",
        State.FAILED: "It was sent, and whether Mixpanel took it is not known."
        if version.may_be_there
        else "It was not sent.",
    }
    sentence = said[State(version.state)]
    return Status(_tone(version), version.get_state_display(), sentence, fix)
