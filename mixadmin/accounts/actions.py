"""What is done with people, their API tokens and the views that they keep."""

from datetime import timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import QueryDict

from mixadmin.audit.actions import record
from mixadmin.common import zones
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.common.pages import encoded, is_listing
from mixadmin.common.rules import (
    Finding,
    any_of,
    check_choice,
    check_json,
    clean_text,
    shown,
)
from mixadmin.common.validation import raise_for

from .models import ApiToken, Draft, SavedView, User

# How long a token may be good for; None is for ever.
LIFETIMES: dict[str, timedelta | None] = {
    "30": timedelta(days=30),
    "90": timedelta(days=90),
    "365": timedelta(days=365),
    "never": None,
}


def may_be_a_name(username: object) -> bool:
    """Whether somebody could have that username: what could not is no guess to count."""
    findings = clean_text("username", username, max_length=150, trimmed=False)
    return isinstance(username, str) and not findings


def create_user(
    *, username: str, password: str, email: str = "", superuser: bool = False
) -> User:
    """Add a person who can sign in. Raises ValidationError."""
    user = User(username=username, email=email, is_superuser=superuser)
    problems = {}
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        problems = error.update_error_dict({})
    try:
        validate_password(password, user)
    except ValidationError as error:
        problems["password"] = error.error_list
    if problems:
        raise ValidationError(problems)
    user.set_password(password)
    with transaction.atomic():
        user.save()
        record(actor=None, verb="added person", target=user)
    return user


def change_preferences(
    *,
    actor: User,
    theme: str | None = None,
    density: str | None = None,
    time_zone: str | None = None,
    shortcuts: bool | None = None,
) -> User:
    """Keep how a person likes the pages. None leaves a preference as it is.

    No entry in the audit log: nobody else is concerned.
    """
    wanted = {
        "theme": theme,
        "density": density,
        "time_zone": time_zone,
        "shortcuts": shortcuts,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    findings = _check_look("theme", theme, User.Theme.values)
    findings += _check_look("density", density, User.Density.values)
    if time_zone and time_zone not in zones.known():
        message = (
            f"“{shown(time_zone)}” is no time zone. Use a name such as Asia/Tokyo."
        )
        findings.append(Finding("time_zone", message, "choice"))
    raise_for(findings)
    for name, value in changes.items():
        setattr(actor, name, value)
    actor.save(update_fields=[*changes])
    return actor


def _check_look(name: str, value: str | None, choices: list[str]) -> list[Finding]:
    if value is None or value in choices:
        return []
    usable = any_of(choice for choice in choices if choice)
    message = f"“{shown(value)}” is not a choice. Use {usable}, or leave it empty."
    return [Finding(name, message, "choice")]


def create_token(*, actor: User, name: str, days: str) -> tuple[ApiToken, str]:
    """Make a token for the REST API. days: a key of LIFETIMES.

    The second of the pair is the token itself; it is stored nowhere.
    """
    findings = clean_text("name", name, label="Name", required=True, max_length=80)
    findings += check_choice("days", days, LIFETIMES)
    raise_for(findings)
    ApiToken(user=actor, name=name).validate_constraints()
    with transaction.atomic():
        token, clear = ApiToken.objects.create(
            user=actor, name=name, expiry=LIFETIMES[days]
        )
        changes = {"token": ["", name], "days": ["", days]}
        record(
            actor=actor, verb="created an API token of", target=actor, changes=changes
        )
    return token, clear


def revoke_token(*, actor: User, token: ApiToken) -> None:
    """Make a token useless at once."""
    with transaction.atomic():
        ApiToken.objects.filter(pk=token.pk, user=actor).delete()
        changes = {"token": [token.name, ""]}
        record(
            actor=actor, verb="revoked an API token of", target=actor, changes=changes
        )


# How many views one person may keep.
MOST_VIEWS = 200


def save_view(*, actor: User, path: str, name: str, query: str) -> SavedView:
    """Keep the filters and the order of a list under a name, for one person.

    Where there is a view of that name on that list, it takes them over.
    """
    findings = clean_text("name", name, label="Name", required=True, max_length=80)
    findings += clean_text("query", query, label="Query", max_length=2000)
    if not isinstance(path, str) or len(path) > 200 or not is_listing(path):
        findings.append(Finding("path", "This is no list of ours.", "unknown"))
    raise_for(findings)
    kept = encoded(QueryDict(query))
    raise_for(clean_text("query", kept, label="Query", max_length=2000))
    if SavedView.objects.filter(user=actor).count() >= MOST_VIEWS:
        raise Refused(
            f"You have {MOST_VIEWS} views. Delete one first.", code="too_many"
        )
    view, _ = SavedView.objects.update_or_create(
        user=actor, path=path, name=name, defaults={"query": kept}
    )
    return view


def delete_view(*, actor: User, view: SavedView) -> None:
    """Forget a view."""
    SavedView.objects.filter(pk=view.pk, user=actor).delete()


# --- Drafts ---------------------------------------------------------------------------

# How long what was typed and not sent is kept.
DRAFTS_KEPT = timedelta(days=30)
MAX_DRAFT_BYTES = 128 * 1024
MAX_DRAFT_PATH = 200


def find_draft(*, user: User, path: str) -> Draft | None:
    """What the person typed into the form at that path and has not sent."""
    since = db_now() - DRAFTS_KEPT
    return Draft.objects.filter(user=user, path=path, saved_at__gt=since).first()


def keep_draft(*, user: User, path: str, data: dict[str, list[str]]) -> None:
    """Keep what was typed: `data` holds no secret. Old drafts of anybody go.

    A draft that is too large, or that no database holds, is not kept.
    """
    problem = check_json(data, max_bytes=MAX_DRAFT_BYTES)
    if problem or len(path) > MAX_DRAFT_PATH:
        return
    Draft.objects.filter(saved_at__lte=db_now() - DRAFTS_KEPT).delete()
    Draft.objects.update_or_create(user=user, path=path, defaults={"data": data})


def discard_draft(*, user: User, path: str) -> None:
    Draft.objects.filter(user=user, path=path).delete()
