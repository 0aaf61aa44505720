from typing import Any

from mixadmin.accounts.models import User
from mixadmin.common.forms import (
    ActionForm,
    Choice,
    Line,
    Number,
    Pick,
    RemoteIds,
    SecretText,
    Text,
    Tick,
)
from mixadmin.service_accounts.models import ServiceAccount

from .models import Membership, Project

CHOOSE = ("", "Choose…")


def account_field(**kwargs: Any) -> Pick:
    return Pick(
        ServiceAccount.objects.none(),
        what="service account",
        label="Service account",
        **kwargs,
    )


class ProjectEditForm(ActionForm):
    name = Text(label="Name", help_text="As people here call it.", asked=True)
    environment = Choice(
        label="Environment", choices=Project.Environment.choices, initial="production"
    )
    service_account = account_field(
        help_text="Calls to Mixpanel for this project are made with it.",
        empty_label="None yet",
    )
    token = SecretText(
        label="Project token",
        help_text="From the project's settings in Mixpanel. Needed to send events. It is "
        "never shown again; left empty, the one that is stored stays.",
    )
    organization_id = Number(
        label="Mixpanel organization id",
        help_text="The number after /organization/ in Mixpanel's address.",
    )
    is_b2b = Tick(
        label="B2B project",
        help_text="Event imports into a B2B project need a company column.",
    )

    sections = (
        ("Credentials", ("service_account", "token")),
        ("More about it", ("environment", "organization_id", "is_b2b")),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = ServiceAccount.objects.visible_to(user).present()
        self.fields["service_account"].queryset = accounts  # type: ignore[attr-defined]


class ProjectForm(ProjectEditForm):
    mixpanel_id = Number(
        label="Mixpanel project id",
        help_text="The number after /project/ in Mixpanel's address.",
        asked=True,
    )
    region = Choice(
        label="Data residency region",
        help_text="Where Mixpanel keeps its data. It cannot be changed later.",
        choices=[CHOOSE, *Project.Region.choices],
        asked=True,
    )
    field_order = ("name", "mixpanel_id", "region")


class TypedNameForm(ActionForm):
    typed_name = Text(label="Its name", help_text="Type it to confirm.", asked=True)


class MemberForm(ActionForm):
    username = Line(label="Username", asked=True, max_length=150)
    role = Choice(label="Role", choices=Membership.Role.choices, initial="viewer")


class AccountForm(ActionForm):
    account = account_field(asked=True, empty_label="Choose…")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = ServiceAccount.objects.visible_to(user).present()
        self.fields["account"].queryset = accounts  # type: ignore[attr-defined]


class DiscoverForm(ActionForm):
    paths = {"mixpanel_id": "mixpanel_ids", "name": "mixpanel_ids"}
    mixpanel_ids = RemoteIds(label="Projects")
