"""Tags of the pages: `{% load ui %}`."""

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Model
from django.http import HttpRequest
from django.template import Context
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from lucide.templatetags.lucide import lucide

from mixadmin.common import zones
from mixadmin.common.causes import Cause
from mixadmin.common.fixes import fix_for
from mixadmin.common.remedies import explain, explain_run_failure
from mixadmin.common.rules import shown

register = template.Library()

# How the states of jobs, runs, rows and credentials look. One that is not named here
# looks unknown, never good.
TONES = {
    "good": ("succeeded", "active", "works", "ok", "current"),
    "bad": (
        "failed",
        "dead",
        "missing",
        "not_created",
        "refused",
        "wrong_region",
        "no_access",
        "alarm",
        "invalid",
    ),
    "warn": (
        "succeeded_with_errors",
        "unknown",
        "needs_decision",
        "cannot_reach",
        "waiting",
        "ready",
        "gated",
        "warn",
    ),
    "busy": (
        "queued",
        "running",
        "claimed",
        "sending",
        "reconciling",
        "adopted",
        "accepted",
        "polling",
        "pending",
        "deleting",
        "checking",
    ),
    "idle": (
        "",
        "new",
        "checked",
        # A file that was read to its end may hold records that were refused.
        "done",
        "paused",
        "cancelled",
        "deleted",
        "stopped",
        "replaced",
    ),
}
TONE_OF = {state: tone for tone, states in TONES.items() for state in states}


@register.simple_tag
def badge(state: Any, label: Any = "") -> SafeString:
    """{% badge job.state job.get_state_display %}"""
    words = str(label or state or "none").replace("_", " ")
    words = words[:1].upper() + words[1:]
    return format_html('<span class="badge is-{}">{}</span>', tone(state), words)


@register.filter
def tone(state: Any) -> str:
    """good, bad, warn, busy or idle, for a class: `is-{{ job.state|tone }}`."""
    return TONE_OF.get(str(state or ""), "warn")


@register.simple_tag
def when(moment: datetime | str | None, nothing: str = "—") -> SafeString:
    """{% when job.created_at %}: the time in the person's zone, which is named.

    Pointed at, it tells UTC, and how long ago (by keys.js: written here it would be out
    of date, and would make every answer another one). A time out of JSON may be its
    ISO text.
    """
    moment = as_moment(moment)
    if moment is None:
        return format_html("{}", nothing)
    utc, local = moment.astimezone(UTC), zones.local(moment)
    label = zones.label(local)
    return format_html(
        '<time datetime="{}"{}>{} {}</time>',
        utc.isoformat(),
        format_html(' title="{} UTC"', to_second(utc)) if label != "UTC" else "",
        to_second(local),
        label,
    )


def to_second(moment: datetime) -> str:
    """2026-07-01 12:30:05, without the zone."""
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")


@register.filter(name="until")
@register.filter
def ago(moment: datetime | str | None) -> str:
    """{{ run.ended_at|ago }}, {{ next_run|until }}: "5 min ago", "in 22 min"."""
    moment = as_moment(moment)
    return "—" if moment is None else relative(moment, timezone.now())


def as_moment(moment: datetime | str | None) -> datetime | None:
    """With its zone; one that was told without a zone is UTC."""
    if isinstance(moment, str):
        moment = parse_datetime(moment)
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment


def relative(moment: datetime, now: datetime) -> str:
    """How far that is from now, never finer than a minute. keys.js says it alike."""
    minutes = int(abs((moment - now).total_seconds()) // 60)
    if not minutes:
        return "in under a minute" if moment > now else "just now"
    if minutes < 60:
        words = f"{minutes} min"
    elif minutes < 180:
        words = f"{minutes // 60} h {minutes % 60} min"
    elif minutes < 48 * 60:
        words = f"{minutes // 60} h"
    else:
        words = f"{minutes // (24 * 60)} days"
    return f"in {words}" if moment > now else f"{words} ago"


@register.filter
def lasting(length: timedelta | None) -> str:
    """A duration as people say it: 3 s, 2 min 5 s, 1 h 4 min, 3 days 2 h."""
    if length is None:
        return "—"
    seconds = int(length.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    days = seconds // 86400
    return f"{days} day{'s' if days > 1 else ''} {seconds % 86400 // 3600} h"


@register.filter
def known(value: Any) -> Any:
    """The value, or "unknown" for None: a count that is not known is not 0."""
    return "unknown" if value is None else value


@register.filter
def count(value: Any) -> str:
    """A number as people read it, 30,112; "unknown" for None, which is not 0."""
    return "unknown" if value is None else str(intcomma(value))


@register.simple_tag
@lru_cache(maxsize=256)
def icon(name: str) -> SafeString:
    """{% icon "pause" %}: a picture beside words, so a screen reader passes it by.

    name: of the lucide set, https://lucide.dev/icons/.
    """
    drawing = lucide(name, size=None, **{"class": "icon", "aria-hidden": "true"})
    return SafeString(" ".join(drawing.split()))


@register.simple_tag(takes_context=True)
def place(
    context: Context,
    url: str,
    picture: str,
    words: str,
    exact: bool = False,
    go: str = "",
    after: str = "",
) -> SafeString:
    """{% place url "house" "Home" %}: a line of the rail, marked where one is.

    One is also there on the pages below the URL, unless `exact`. Nothing is shown for
    a URL that does not exist. go: the key that leads there after g; see keys.js.
    after: what stands behind the words.
    """
    if not url:
        return SafeString()
    path = context["request"].path
    here = path == url or (not exact and path.startswith(url))
    return format_html(
        '<li><a href="{}"{}{}>{} {}{}</a></li>',
        url,
        format_html(' data-go="{}"', go) if go else "",
        SafeString(
            f' aria-current="{"page" if path == url else "true"}"' if here else ""
        ),
        icon(picture),
        words,
        after,
    )


@register.inclusion_tag("_zone.html", takes_context=True)
def zone(context: Context) -> Mapping[str, Any]:
    """{% zone %}: whose times these are, and the way to UTC and back."""
    request: HttpRequest = context["request"]
    own = zones.own(request, request.user)
    return {
        "name": zones.active_name(),
        "label": zones.active_label(),
        "own": own,
        "in_utc": zones.IN_UTC in request.session,
        "is_utc": str(own) == "UTC",
        "csrf_token": context.get("csrf_token"),
    }


@register.filter
def of(values: Mapping[str, Any], name: str) -> Any:
    """{{ books|of:column }}: the value of that name, None where there is none."""
    return values.get(name)


@register.filter
def is_nested(value: Any) -> bool:
    """Whether a JSON value is an object or a list."""
    return isinstance(value, dict | list)


@register.filter
def readable(value: Any) -> str:
    """A value from outside as text. Broken characters are shown as escapes."""
    return str(value).encode(errors="backslashreplace").decode()


@register.filter
def printable(value: Any, limit: int = 300) -> str:
    """Text out of somebody's file: cut, on one line, odd characters as escapes."""
    return shown(value, limit)


@register.filter
def pretty(value: Any) -> str:
    """A JSON value as people read it. Broken characters are shown as escapes."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = str(value)
    return readable(text)


@register.simple_tag(takes_context=True)
def live(
    context: Context, name: str, going_on: Any, seconds: int = 4, stamp: str = ""
) -> SafeString:
    """<section {% live "jobs-table" is_live %}>: the id of a fragment, and, while
    something goes on, that it fetches itself again from the URL of its page. app.js
    asks with the ETag of the answer before, which `pages.page` knows.

    stamp: what the rest of the page hangs on; see `pages.part`.
    """
    if not going_on:
        return format_html('id="{}"', name)
    request: HttpRequest = context["request"]
    return format_html(
        'id="{}" hx-get="{}" hx-trigger="every {}s, seen" hx-swap="outerHTML"{}',
        name,
        request.get_full_path(),
        seconds,
        format_html(' hx-headers=\'{{"Stamp": "{}"}}\'', stamp) if stamp else "",
    )


# What a page is about, by the names that pages give it: what mends an error is a place
# of one of these.
ABOUT = ("project", "source", "import", "connector", "ingestion", "bucket", "table")


@register.inclusion_tag("_error.html", takes_context=True)
def explain_error(
    context: Context,
    kind: str,
    message: str = "",
    raw: Any = "",
    status: int | None = None,
    area: str = "",
    **about: Any,
) -> Mapping[str, Any]:
    """{% explain_error job.error_kind job.error_message job.error_raw job=job %}

    about: what it concerns, where that is not what the page is about (ABOUT); a job that
    may be tried again, an account.
    """
    cause = explain(
        kind, message=message, status=status, context={"area": area} if area else None
    )
    return _told(context, cause, message, raw, about)


@register.inclusion_tag("_error.html", takes_context=True)
def explain_run(
    context: Context,
    message: str,
    raw: Any = "",
    warehouse_type: str = "",
    connector_type: str = "",
    **about: Any,
) -> Mapping[str, Any]:
    """{% explain_run run.error_message run.raw connector_type=connector.connector_type %}"""
    cause = explain_run_failure(
        message, warehouse_type=warehouse_type, connector_type=connector_type
    )
    return _told(context, cause, message, raw, about)


def _told(
    context: Context, cause: Cause, message: str, raw: Any, about: dict[str, Any]
) -> Mapping[str, Any]:
    """What `_error.html` shows of a cause, with the one thing to press."""
    rows = {name: context.get(name) for name in ABOUT} | about
    known = {
        name: row if isinstance(row, Model | int) else None
        for name, row in rows.items()
    }
    known.setdefault("account", getattr(known["project"], "service_account_id", None))
    if known["source"] is None:
        known["source"] = getattr(known["import"], "source_id", None)
    may_edit = bool(context.get("can_edit", context.get("may_edit", False)))
    # The same words on one page have one fold, whatever is fetched anew.
    sum_of = zlib.crc32(f"{cause.code} {message} {raw}".encode(errors="replace"))
    return {
        "explanation": cause,
        "message": message,
        "raw": raw,
        "raw_id": f"raw-{sum_of:08x}",
        "fix": fix_for(cause, known, here=context["request"].path, may_edit=may_edit)
        if "request" in context
        else None,
        # `_button.html` needs it.
        "csrf_token": context.get("csrf_token"),
    }
