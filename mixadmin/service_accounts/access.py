"""Service accounts as a person may reach them."""

from django.http import Http404

from mixadmin.accounts.models import User
from mixadmin.projects.access import NotPermitted

from .models import ServiceAccount, may_change


def get_account(user: User, pk: int, *, change: bool = False) -> ServiceAccount:
    """The service account, if `user` may see it. Http404 or NotPermitted."""
    account = ServiceAccount.objects.visible_to(user).filter(pk=pk).first()
    if account is None:
        raise Http404("There is no such service account.")
    if change and not may_change(user, account):
        raise NotPermitted(
            "Only its owner, or an editor of all projects that use it, may change "
            f"the service account {account.username}."
        )
    return account
