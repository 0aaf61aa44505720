"""Forms that are checked while they are filled in, and kept until they are sent.

A view with such a form calls `drafted` before it looks at the form, and puts what it
does with it into `sent`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render

from mixadmin.common.forms import ActionForm, errors_to_form

from . import actions
from .models import Draft
from .requests import Request


def draft_of(request: Request) -> Draft | None:
    """What this person typed on this page before, where it is only looked at now."""
    if request.method == "POST":
        return None
    return actions.find_draft(user=request.user, path=request.path)


def drafted(
    request: Request,
    form: ActionForm,
    judge: Callable[[], object],
    *,
    draft: Draft | None = None,
    fits: bool = True,
) -> HttpResponse | None:
    """The answer to a field that was left, or to “Discard”; None for anything else.

    judge: the check of the action, which saves nothing. A page that is only looked at
    gets what was typed before: into its fields when it `fits` them, else offered.
    """
    form.is_checked = True
    if request.method != "POST":
        form.draft = draft or draft_of(request)
        form.shows_draft = bool(form.draft and fits)
        if form.shows_draft:
            form.fill(form.draft.data)
        return None
    if request.POST.get("step") == "discard":
        actions.discard_draft(user=request.user, path=request.path)
        return redirect(request.get_full_path())
    # A page that asks by itself never sends anything, whatever it left out.
    asks_only = request.htmx and "switch" not in request.POST
    if "check" not in request.POST and not asks_only:
        return None
    keep_draft(request, form)
    form.look(judge)
    left = dict.fromkeys(request.POST.getlist("check"))
    context = {"fields": [form[name] for name in left if name in form.fields]}
    return render(request, "_checked.html", context)


def keep_draft(request: Request, form: ActionForm) -> None:
    """Remember what was typed, unless it is what the page showed anyway."""
    where: dict[str, Any] = {"user": request.user, "path": request.path}
    if form.has_changed():
        actions.keep_draft(**where, data=form.typed())
    else:
        actions.discard_draft(**where)


@contextmanager
def sent(request: Request, form: ActionForm) -> Iterator[None]:
    """`errors_to_form`; what was typed is no draft any more when the block succeeds."""
    with errors_to_form(form):
        yield
        actions.discard_draft(user=request.user, path=request.path)
