from typing import Any

from django import forms

from mixadmin.common.forms import ActionForm, Tick

SEND = "Send it at once if the check finds nothing"


class File(forms.FileField):
    """A file as it was sent, None without one. Also an empty one: the action says so."""

    asked = True
    only_if = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, allow_empty_file=True, **kwargs)

    def clean(self, data: Any, initial: Any = None) -> Any:
        return data


class ReplaceForm(ActionForm):
    file = File(
        label="CSV file",
        help_text="UTF-8, separated by commas, at most 100 MB; may be compressed with "
        "gzip.",
        widget=forms.FileInput(attrs={"accept": ".csv,.gz,text/csv"}),
    )
    send_when_clean = Tick(label=SEND)


class RollBackForm(ActionForm):
    send_when_clean = Tick(label=SEND)
