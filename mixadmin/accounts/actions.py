"""What people do with their API tokens."""

from datetime import timedelta

from mixadmin.common.rules import check_choice, clean_text
from mixadmin.common.validation import raise_for

from .models import ApiToken, User

# How long a token may be good for; None is for ever.
LIFETIMES: dict[str, timedelta | None] = {
    "30": timedelta(days=30),
    "90": timedelta(days=90),
    "365": timedelta(days=365),
    "never": None,
}


def create_token(*, actor: User, name: str, days: str) -> tuple[ApiToken, str]:
    """Make a token for the REST API. days: a key of LIFETIMES.

    The second of the pair is the token itself; it is stored nowhere.
    """
    findings = clean_text("name", name, label="Name", required=True, max_length=80)
    findings += check_choice("days", days, LIFETIMES)
    raise_for(findings)
    ApiToken(user=actor, name=name).validate_constraints()
    token, clear = ApiToken.objects.create(
        user=actor, name=name, expiry=LIFETIMES[days]
    )
    return token, clear


def revoke_token(*, actor: User, token: ApiToken) -> None:
    """Make a token useless at once."""
    ApiToken.objects.filter(pk=token.pk, user=actor).delete()
