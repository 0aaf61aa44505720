from mixadmin.common.forms import ActionForm, Choice, Text

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
