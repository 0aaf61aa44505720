"""How a lookup table stands, in one sentence, and the one button that mends it."""

from django.urls import reverse
from django.utils.html import format_html

from mixadmin.common.fixes import Fix
from mixadmin.common.standing import Standing, many
from mixadmin.common.templatetags.ui import when

from .models import LookupTable, LookupVersion

State = LookupVersion.State
STATES = {
    "missing": "Gone from Mixpanel",
    **dict(State.choices),
    "new": "Never replaced from here",
}


def standing(
    table: LookupTable,
    *,
    newest: LookupVersion | None,
    current: LookupVersion | None,
    uncertain: LookupVersion | None,
) -> Standing:
    """newest: the version that was made last; current: the one in Mixpanel, if that is
    known; uncertain: one of which nobody knows whether Mixpanel took it."""
    if table.absent_since:
        sentence = format_html(
            "Mixpanel does not list it since {}. Its versions are kept.",
            when(table.absent_since),
        )
        return Standing("missing", STATES["missing"], sentence)
    if uncertain is not None:
        sentence = format_html(
            "Whether Mixpanel took version {} is not known: its answer was lost. Send "
            "that version or another one, and it is.",
            uncertain.number,
        )
        fix = _open(uncertain, f"Send version {uncertain.number} again", "send")
        if newest is not None and newest.state in LookupVersion.GOING_ON:
            fix = None
        return Standing("unknown", "Content unknown", sentence, fix)
    if newest is None:
        url = reverse("lookups:replace", args=[table.project_id, table.pk])
        fix = Fix("Upload the first CSV", url, picture="upload")
        words = "What is in it now is not known here: it was never replaced from here."
        return Standing("new", STATES["new"], words, fix)
    said, fix = _newest(newest)
    sentence = format_html("{}{}", said, _has(current)) if said else _has(current)
    return Standing(newest.state, STATES[newest.state], sentence, fix)


def _newest(version: LookupVersion) -> tuple[str, Fix | None]:
    """What there is to say of the newest version besides what Mixpanel has."""
    number = version.number
    if version.state == State.CHECKING:
        return f"Version {number} is being checked. ", None
    if version.state == State.INVALID:
        bad = f", for {many(version.bad_rows, 'bad row')}" if version.bad_rows else ""
        words = f"Mixpanel would refuse version {number}{bad}. "
        return words, _open(version, f"See what is wrong with version {number}", "eye")
    if version.state == State.READY:
        words = f"Version {number} is checked and was not sent. "
        label = f"Replace all rows by version {number}"
        return words, _open(version, label, "replace")
    if version.state == State.SENDING:
        return f"All rows are being replaced by version {number}. ", None
    if version.state == State.REFUSED:
        words = f"Mixpanel refused version {number} and changed nothing. "
        return words, _open(version, "See what Mixpanel refused", "eye")
    if version.state == State.FAILED:
        words = f"Version {number} was not sent: {version.error_message[:200]} "
        label = f"See why version {number} was not sent"
        return words, _open(version, label, "eye")
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


def _open(version: LookupVersion, label: str, picture: str) -> Fix:
    return Fix(label, version.get_absolute_url(), picture=picture)


def version_standing(version: LookupVersion, *, replaced: str = "") -> Standing:
    """replaced: what the button says that sends it; "" where it cannot be sent."""
    at = when(version.sent_at)
    fix = None
    if version.can_be_sent and replaced:
        args = [version.table.project_id, version.table_id, version.number]
        url = reverse("lookups:send", args=args)
        fix = Fix(replaced, url, post=True, picture="replace")
    elif version.state in (State.INVALID, State.REFUSED):
        url = reverse(
            "lookups:replace", args=[version.table.project_id, version.table_id]
        )
        fix = Fix("Upload a corrected file", url, picture="upload")
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
    return Standing(version.state, version.get_state_display(), sentence, fix)
