from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from mixadmin.common import zones
from mixadmin.common.forms import errors_to_form, posted
from mixadmin.common.pages import back, page, refusal

from .actions import (
    change_preferences,
    create_token,
    delete_view,
    revoke_token,
    save_view,
)
from .forms import PreferencesForm, SignInForm, TokenForm
from .models import ApiToken, SavedView
from .requests import Request

ask_for_password = LoginView.as_view(
    template_name="accounts/sign_in.html",
    authentication_form=SignInForm,
    redirect_authenticated_user=True,
)


@login_not_required
def sign_in(request: HttpRequest) -> HttpResponseBase:
    if getattr(request, "htmx", False):
        # A page that refreshes itself met the end of its session: load it as a whole.
        return HttpResponseClientRefresh()
    response = ask_for_password(request)
    if request.method == "POST" and response.status_code == 200:
        response.status_code = 422
    return response


PREFERENCES = ("theme", "density", "time_zone", "shortcuts")


@page
def preferences(request: Request) -> HttpResponse:
    now = {name: getattr(request.user, name) for name in PREFERENCES}
    form = PreferencesForm(posted(request), initial=now)
    if form.is_valid():
        with errors_to_form(form):
            change_preferences(actor=request.user, **form.cleaned_data)
            messages.success(request, "Your preferences are saved.")
            return redirect("accounts:preferences")
    context = {"form": form}
    return render(request, "accounts/preferences.html", context, status=form.status)


@require_POST
@page
def switch(request: Request) -> HttpResponse:
    """One preference at a press of a button, or UTC for this session, and back again."""
    theme, density = request.POST.get("theme"), request.POST.get("density")
    try:
        change_preferences(actor=request.user, theme=theme, density=density)
    except ValidationError:
        raise BadRequest("There is no such look.") from None
    if request.POST.get("times") == "utc":
        request.session[zones.IN_UTC] = True
    elif "times" in request.POST:
        request.session.pop(zones.IN_UTC, None)
    return redirect(back(request) or "dashboard:home")


@page
def token_list(request: Request) -> HttpResponse:
    form = TokenForm(posted(request))
    clear = ""
    if form.is_valid():
        with errors_to_form(form):
            _, clear = create_token(actor=request.user, **form.cleaned_data)
            form = TokenForm()
    tokens = ApiToken.objects.filter(user=request.user)
    context = {"form": form, "tokens": tokens, "clear": clear}
    return render(request, "accounts/tokens.html", context, status=form.status)


@require_POST
@page
def token_revoke(request: Request, digest: str) -> HttpResponse:
    token = get_object_or_404(ApiToken, user=request.user, digest=digest)
    revoke_token(actor=request.user, token=token)
    messages.success(request, f"The token {token.name} is revoked.")
    return redirect("accounts:tokens")


@require_POST
@page
def view_save(request: Request) -> HttpResponse:
    """Keep the filters of a list under a name, and show the list with them."""
    path, name, query = (request.POST.get(k, "") for k in ("path", "name", "query"))
    try:
        view = save_view(
            actor=request.user, path=path, name=name.strip(), query=query.lstrip("?")
        )
    except ValidationError as error:
        return refusal(request, " ".join(error.messages), status=422)
    messages.success(request, f"The view {view} is kept.")
    return redirect(view)


@require_POST
@page
def view_delete(request: Request, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView, user=request.user, pk=pk)
    delete_view(actor=request.user, view=view)
    messages.success(request, f"The view {view} is deleted.")
    return redirect(view.path)
