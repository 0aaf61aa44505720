from typing import Any

from django.contrib.auth import authenticate
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from mixadmin.common.api import (
    ApiViewSet,
    TokenAuthentication,
    created,
    find,
)
from mixadmin.common.api_schema import describe

from . import actions
from .models import ApiToken, SavedView, User
from .serializers import (
    MeSerializer,
    NewToken,
    NewTokenSerializer,
    NewView,
    Preferences,
    TokenSerializer,
    ViewSerializer,
)


class SignInHere(BaseAuthentication):
    """Username and password in the body of the request that asks for a token."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        if request.method != "POST":
            return None
        body: Any = request.data
        name, password = body.get("username"), body.get("password")
        if name is None and password is None:
            return None
        user = None
        # A name that nobody can have is not looked up, and not counted as a guess.
        if actions.may_be_a_name(name) and isinstance(password, str):
            user = authenticate(request._request, username=name, password=password)
        if user is None:
            # The same for a wrong name, a wrong password and a person who was disabled.
            raise exceptions.AuthenticationFailed("Wrong username or password.")
        return user, None


class SignInScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Told by the fields of the body: the schema has no scheme for it."""

    target_class = "mixadmin.accounts.api.SignInHere"
    name: list[str] = []

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        return []

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[Any]]:
        return {}


class TokenViewSet(ApiViewSet):
    """Your tokens for this API."""

    tag = "Tokens"
    queryset = ApiToken.objects.none()
    authentication_classes = [TokenAuthentication, SessionAuthentication, SignInHere]
    secret_answers = ("create",)

    @describe(responses=TokenSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Newest first."""
        tokens = ApiToken.objects.filter(user=self.user).order_by("-created", "-pk")
        return self.show_page(tokens, TokenSerializer)

    @describe(request=NewToken, responses={201: NewTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token, with your username and password or with a session.

        The token is shown once. A token cannot make tokens.
        """
        if request.auth is not None:
            raise exceptions.PermissionDenied(
                "A token cannot make tokens. Send username and password instead.",
                code="token_cannot_make_tokens",
            )
        values = self.read(NewToken)
        values.pop("username", None)
        values.pop("password", None)
        token, clear = actions.create_token(actor=self.user, **values)
        data = {**TokenSerializer(token).data, "token": clear}
        return created(data, reverse("api:token", args=[token.token_key]))

    @describe(responses=TokenSerializer)
    def retrieve(self, request: Request, token_key: str) -> Response:
        """One token."""
        return Response(TokenSerializer(self.find_token(token_key)).data)

    @describe(request=None, responses={204: None})
    def destroy(self, request: Request, token_key: str) -> Response:
        """Make a token useless at once; also the one that this is sent with."""
        actions.revoke_token(actor=self.user, token=self.find_token(token_key))
        return Response(status=204)

    def find_token(self, token_key: str) -> Any:
        tokens = ApiToken.objects.filter(user=self.user, token_key=token_key)
        return find(tokens)


class MeViewSet(ApiViewSet):
    """You."""

    tag = "You"
    queryset = User.objects.none()

    @describe(responses=MeSerializer)
    def retrieve(self, request: Request) -> Response:
        """Who you are, and how you like the pages."""
        return Response(MeSerializer(self.user).data)

    @describe(request=Preferences, responses=MeSerializer)
    def partial_update(self, request: Request) -> Response:
        """Change how you like the pages."""
        values = self.read(Preferences, partial=True)
        person = actions.change_preferences(actor=self.user, **values)
        return Response(MeSerializer(person).data)


class SavedViewViewSet(ApiViewSet):
    """The filters of lists that you keep under a name. Nobody else sees them."""

    tag = "Saved views"
    queryset = SavedView.objects.none()

    @describe(responses=ViewSerializer(many=True))
    def list(self, request: Request) -> Response:
        """By name."""
        views = SavedView.objects.filter(user=self.user).order_by("name", "pk")
        return self.show_page(views, ViewSerializer)

    @describe(request=NewView, responses={201: ViewSerializer})
    def create(self, request: Request) -> Response:
        """Keep one; it takes the place of one with that name on that list."""
        view = actions.save_view(actor=self.user, **self.read(NewView))
        return created(
            ViewSerializer(view).data, reverse("api:saved-view", args=[view.pk])
        )

    @describe(responses=ViewSerializer)
    def retrieve(self, request: Request, view_id: int) -> Response:
        """One view."""
        return Response(ViewSerializer(self.find_view(view_id)).data)

    @describe(request=None, responses={204: None})
    def destroy(self, request: Request, view_id: int) -> Response:
        """Forget it."""
        actions.delete_view(actor=self.user, view=self.find_view(view_id))
        return Response(status=204)

    def find_view(self, view_id: int) -> SavedView:
        view: SavedView = find(SavedView.objects.filter(user=self.user, pk=view_id))
        return view
