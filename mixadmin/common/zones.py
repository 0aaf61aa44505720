"""Which time zone pages show times in: the person's, else their browser's, else UTC.

The API does not ask: there every time is UTC.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest
from django.utils import timezone

# Set by keys.js, so any text may be in it.
COOKIE = "zone"
# In the session while a person looks at UTC instead of their own zone.
IN_UTC = "times_in_utc"
REGIONS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


@cache
def known() -> frozenset[str]:
    """The IANA names that may be chosen; not those that hang on the server's files."""
    names = {n for n in available_timezones() if n.partition("/")[0] in REGIONS}
    return frozenset(names | {"UTC"})


def choices() -> list[tuple[str, Any]]:
    """For a form: none, UTC, and every name in groups by its first part."""
    grouped: dict[str, list[tuple[str, str]]] = {region: [] for region in REGIONS}
    for name in sorted(known()):
        region, _, place = name.partition("/")
        if region in grouped:
            words = place.replace("_", " ").replace("/", ", ")
            grouped[region].append((name, words))
    return [("", "As the browser tells"), ("UTC", "UTC"), *grouped.items()]


def named(name: str) -> ZoneInfo | None:
    """The zone of that name, None for anything that is no known name."""
    return ZoneInfo(name) if name in known() else None


def own(request: HttpRequest, user: Any = None) -> tzinfo:
    """The person's zone, else the one that their browser tells, else UTC."""
    chosen = named(getattr(user, "time_zone", ""))
    return chosen or named(request.COOKIES.get(COOKIE, "")) or UTC


def label(moment: datetime) -> str:
    """What to print behind a time: CET, IST, UTC-3. Many zones have no letters."""
    letters = moment.strftime("%Z")
    if letters.isalpha():
        return letters
    minutes = int((moment.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "")


def active_label() -> str:
    """What stands behind the times of this page, as of now."""
    return label(timezone.localtime())


def active_name() -> str:
    """The active zone's full name: Europe/Berlin, UTC."""
    name = timezone.get_current_timezone_name()
    return "UTC" if name == "Etc/UTC" else name


def local(moment: datetime) -> datetime:
    """The moment in the active zone; in UTC where that zone has no such year."""
    try:
        return timezone.localtime(moment)
    except OverflowError:
        return moment.astimezone(UTC)
