from mixadmin.common.forms import (
    ActionForm,
    Choice,
    Line,
    Moment,
    Number,
    RemoteId,
    SecretText,
    Text,
    Tick,
)
from mixadmin.projects.models import Project

ROLES_HELP = "For example owner, admin, analyst or consumer; custom roles are fine."


class NotesForm(ActionForm):
    """What is noted about an account and may change."""

    organization_id = Number(
        label="Mixpanel organization id",
        help_text="The number after /organization/ in Mixpanel's address. Needed to "
        "look after the organization's service accounts.",
    )
    role = Text(label="Role", help_text=ROLES_HELP)
    expires_at = Moment(
        label="Expires", help_text="Empty: never. A warning comes in time."
    )


class AccountForm(NotesForm):
    username = Text(
        label="Username",
        help_text="As Mixpanel shows it, ending in .mp-service-account.",
        asked=True,
    )
    secret = SecretText(
        label="Secret",
        help_text="Stored encrypted and never shown again.",
        asked=True,
    )
    region = Choice(
        label="Data residency region",
        choices=[("", "Choose…"), *Project.Region.choices],
        asked=True,
    )
    field_order = ("username", "secret", "region")
    sections = (("Notes", ("organization_id", "role", "expires_at")),)


class SecretForm(ActionForm):
    secret = SecretText(
        label="New secret",
        help_text="It is tried at Mixpanel first; one that Mixpanel refuses is not kept.",
        asked=True,
    )


class CreateThereForm(ActionForm):
    username = Text(
        label="Username",
        help_text="Mixpanel adds a suffix of its own.",
        asked=True,
    )
    role = Text(label="Role in the organization", help_text=ROLES_HELP)
    expires_at = Moment(label="Expires", help_text="Empty: never.")
    project_id = RemoteId(
        label="Mixpanel project id", help_text="It joins this project at once."
    )
    project_role = Line(label="Role in that project", max_length=60)


class MembershipForm(ActionForm):
    project_id = RemoteId(label="Mixpanel project id", asked=True)
    role = Line(label="Role", help_text=ROLES_HELP, max_length=60)
    remove = Tick(label="Remove it from the project instead")


class NothingForm(ActionForm):
    """Only a button."""
