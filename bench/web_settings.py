"""The product's settings, with Django's admin beside it. Only for `bench.web`."""

from mixadmin.settings import *  # noqa: F403
from mixadmin.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.admin"]
ROOT_URLCONF = "bench.web_urls"
