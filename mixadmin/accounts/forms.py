from typing import Any

from django.contrib.auth.forms import AuthenticationForm

from mixadmin.common import zones
from mixadmin.common.forms import ActionForm, Choice, Text, Tick

from .actions import may_be_a_name
from .models import User

LIFETIMES = (
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "A year"),
    ("never", "Until it is revoked"),
)


class TokenForm(ActionForm):
    name = Text(
        label="Name",
        help_text="What will use it, for example “nightly export”.",
        asked=True,
    )
    days = Choice(label="Good for", choices=LIFETIMES, initial="90", asked=True)


class PreferencesForm(ActionForm):
    theme = Choice(label="Colours", choices=User.Theme.choices)
    density = Choice(label="Rows of lists", choices=User.Density.choices)
    time_zone = Choice(
        label="Time zone",
        choices=zones.choices(),
        help_text="Times are shown in it, and read in it where you type one.",
    )
    shortcuts = Tick(
        label="Single-key shortcuts",
        help_text="Such as j and k to move in a list. Press ? to see them all. "
        "Ctrl+K works without them.",
    )


class SignInForm(AuthenticationForm):
    """Django's, which would look up and count a name of any length."""

    def clean(self) -> dict[str, Any]:
        if not may_be_a_name(self.cleaned_data.get("username", "")):
            raise self.get_invalid_login_error()
        return super().clean()
