"""The type of a request whose person is known."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from .models import User


class Request(HttpRequest):
    """A request of somebody who signed in. The middleware lets no other one through."""

    user: User
    htmx: HtmxDetails
