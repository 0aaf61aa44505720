from typing import Any

from django.contrib.auth.forms import AuthenticationForm

from mixadmin.common.forms import ActionForm, Choice, Text

from .actions import may_be_a_name

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


class SignInForm(AuthenticationForm):
    """Django's, which would look up and count a name of any length."""

    def clean(self) -> dict[str, Any]:
        if not may_be_a_name(self.cleaned_data.get("username", "")):
            raise self.get_invalid_login_error()
        return super().clean()
