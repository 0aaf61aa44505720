"""Every setting of the product, read from the environment. `.env.example` lists them.

Nothing here guesses in production: with DEBUG off, a missing or example secret stops
the start with the name of the variable (see `refuse_to_start`).
"""

import base64
import math
import os
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url

from mixadmin.common.local import (
    SANDBOX_ENV,
    broker_url,
    data_dir,
    read_env_file,
)
from mixadmin.common.request_ids import with_request_id

BASE_DIR = Path(__file__).resolve().parent.parent
# Where this installation keeps its own files: database, broker socket, made keys.
DATA_DIR = data_dir()
# Keys made for an installation on one machine (`make demo`); the environment wins.
LOCAL_ENV = read_env_file(DATA_DIR / "local.env")
# Where the sandbox of this installation is, so that commands beside it talk to it too.
LOCAL_ENV |= read_env_file(DATA_DIR / SANDBOX_ENV)


def env(name: str, default: str = "") -> str:
    """The text of a variable, or of the file that NAME_FILE names. Empty: not set."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            sys.exit(f"mixadmin: {name}_FILE cannot be read: {error}.")
    return (os.environ.get(name) or LOCAL_ENV.get(name) or default).strip()


def env_bool(name: str, default: bool = False) -> bool:
    value = env(name, "1" if default else "0").lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off", ""):
        return False
    sys.exit(f"mixadmin: {name} must be true or false, not {value!r}.")


def env_float(name: str, default: float) -> float:
    value = env(name, str(default))
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        sys.exit(f"mixadmin: {name} must be a number above 0, not {value!r}.")
    return number


def env_int(name: str, default: int) -> int:
    value = env(name)
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        sys.exit(f"mixadmin: {name} must be a whole number above 0, not {value!r}.")
    return int(value)


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env(name, default).split(",") if part.strip()]


DEBUG = env_bool("DEBUG")
SECRET_KEY = env("SECRET_KEY")
# Newest first. Each is a Fernet key; the first encrypts, all decrypt.
ENCRYPTION_KEYS = env_list("ENCRYPTION_KEYS")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "axes",
    "django_htmx",
    "django_filters",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "mixadmin.common",
    "mixadmin.accounts",
    "mixadmin.audit",
    "mixadmin.jobs",
    "mixadmin.projects",
    "mixadmin.service_accounts",
    "mixadmin.connectors",
    "mixadmin.warehouse",
    "mixadmin.files",
    "mixadmin.ingestion",
    "mixadmin.lookups",
    "mixadmin.errors",
    "mixadmin.dashboard",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "mixadmin.common.request_ids.request_id",
    "mixadmin.common.middleware.hardening",
    "mixadmin.common.middleware.in_maintenance",
    "mixadmin.common.middleware.DatabaseAway",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "mixadmin.common.middleware.TimeZone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "mixadmin.urls"
WSGI_APPLICATION = "mixadmin.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASE_URL = env("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'mixadmin.sqlite3'}"
_database: dict[str, Any] = dict(dj_database_url.parse(DATABASE_URL))
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE takes the write lock at BEGIN, so that two writers wait for one another
    # instead of failing when they upgrade; FULL keeps a committed intent over power
    # loss.
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
        # 16 MB instead of 2: indexes of many rows stay in memory.
        "PRAGMA cache_size=-16000;",
    }
else:
    _database["CONN_MAX_AGE"] = 60
    _database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
# Guessing ends after ten wrong passwords for one name from one address, for a quarter of
# an hour. Another address can still sign in: nobody can lock somebody else out.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_LOCKOUT_CALLABLE = "mixadmin.accounts.lockout.answer"
CSRF_FAILURE_VIEW = "mixadmin.common.failures.csrf_failure"
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "dashboard:home"
LOGOUT_REDIRECT_URL = "accounts:sign_in"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
    )
]

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
USE_THOUSAND_SEPARATOR = False

STATIC_URL = "static/"
STATIC_ROOT = Path(env("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
# Once collected, files have a hash in their name and are cached for ever. Before that
# they are served from where they are, and whitenoise need not say so.
COLLECTED = (
    STATIC_ROOT.joinpath("staticfiles.json").exists() or "collectstatic" in sys.argv
)
WHITENOISE_USE_FINDERS = not COLLECTED
if not COLLECTED:
    warnings.filterwarnings("ignore", "No directory at", UserWarning)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- Transport security. Off only where the address is this machine's own.
BEHIND_TLS = env_bool("BEHIND_TLS", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SESSION_COOKIE_AGE = 8 * 60 * 60
SESSION_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = BEHIND_TLS
SECURE_HSTS_PRELOAD = BEHIND_TLS
SECURE_SSL_REDIRECT = env_bool("SECURE_SSL_REDIRECT", default=BEHIND_TLS)
SECURE_REDIRECT_EXEMPT = ["^healthz$"]
if env_bool("TRUST_X_FORWARDED_PROTO"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000

# --- Mixpanel. Empty: its real hosts, by region. The sandbox and the tests set both;
# `{region}` in them becomes us, eu or in. They never come from a person's input.
MIXPANEL_APP_URL = env("MIXPANEL_APP_URL")
MIXPANEL_INGESTION_URL = env("MIXPANEL_INGESTION_URL")

# --- Work in the background.
REDIS_URL = env("REDIS_URL") or broker_url(DATA_DIR)
# Multiplies every waiting time of mixadmin/jobs/times.py; the tests use a small one.
TIME_SCALE = env_float("MIXADMIN_TIME_SCALE", 1.0)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # Parser, paging and filters are set on common.api.ApiViewSet, the base of all views.
    "DEFAULT_SCHEMA_CLASS": "drf_standardized_errors.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "mixadmin.common.api_errors.ExceptionHandler"
}
KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105  (a model, not a token)
# Its own table of tokens is not used, so it is not made either.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {
    "TOKEN_TTL": None,
    "AUTH_HEADER_PREFIX": "Token",
    "TOKEN_PREFIX": "mxa_",
    "TOKEN_MODEL": "accounts.ApiToken",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "mixadmin",
    "DESCRIPTION": "Everything that brings data into Mixpanel, as an API.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
}

# While this file is there, everybody sees that mixadmin is away, with what it says.
MAINTENANCE_FILE = DATA_DIR / "maintenance"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "format": "{asctime} {levelname} {name} {request_id} {message}",
            "style": "{",
        }
    },
    "filters": {"request_id": {"()": lambda: with_request_id}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "filters": ["request_id"],
        }
    },
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", "INFO")},
    "loggers": {
        # One tick every five seconds is no news; a task that fails is an ERROR.
        name: {"level": "WARNING"}
        for name in (
            "urllib3",
            "celery.app.trace",
            "celery.beat",
            "celery.worker.strategy",
        )
    },
}

# --- Files on their way into Mixpanel.
# {name: directory} of what may be read from this server's disk, NAME=/path each.
INGEST_DIRECTORIES = dict(
    part.split("=", 1) for part in env_list("INGEST_DIRECTORIES") if "=" in part
)
# The largest file that may be uploaded, in bytes.
UPLOAD_MAX_BYTES = env_int("UPLOAD_MAX_BYTES", 50 * 1024**3)
# What Mixpanel takes from one project in any 60 seconds, and what we use of it.
INGEST_EVENTS_PER_MINUTE = env_int("INGEST_EVENTS_PER_MINUTE", 1_800_000)
INGEST_BYTES_PER_MINUTE = env_int("INGEST_BYTES_PER_MINUTE", 2_000_000_000)
# Where buckets are, if not at Amazon's and Google's own addresses.
S3_ENDPOINT_URL = env("S3_ENDPOINT_URL")
GCS_ENDPOINT_URL = env("GCS_ENDPOINT_URL")

# Words that stand in examples; a secret that holds one is not a secret.
EXAMPLE_WORDS = ("change-me", "changeme", "insecure", "example")


def is_fernet_key(text: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(text)) == 32
    except ValueError:
        return False


def refuse_to_start() -> list[str]:
    """What keeps a production start from being safe, one line each; [] if nothing."""
    problems = []
    required = {"SECRET_KEY": SECRET_KEY, "ENCRYPTION_KEYS": ",".join(ENCRYPTION_KEYS)}
    problems += [f"{name} is not set." for name, value in required.items() if not value]
    passwords = {
        name: unquote(urlsplit(url).password or "")
        for name, url in (("DATABASE_URL", DATABASE_URL), ("REDIS_URL", REDIS_URL))
    }
    problems += [
        f"{name} still has the value of an example."
        for name, value in (required | passwords).items()
        if any(word in value.lower() for word in EXAMPLE_WORDS)
    ]
    if SECRET_KEY and len(SECRET_KEY) < 50:
        problems.append("SECRET_KEY must have at least 50 characters.")
    if not all(map(is_fernet_key, ENCRYPTION_KEYS)):
        problems.append("ENCRYPTION_KEYS must be Fernet keys, separated by commas.")
    if not ALLOWED_HOSTS:
        problems.append("ALLOWED_HOSTS is not set.")
    if "*" in ALLOWED_HOSTS:
        problems.append("ALLOWED_HOSTS must name hosts, not *.")
    return problems


if not DEBUG and (_problems := refuse_to_start()):
    sys.exit("mixadmin cannot start:\n  " + "\n  ".join(_problems))
if not SECRET_KEY:
    # A development start without a key: sessions end with the process.
    from django.core.management.utils import get_random_secret_key

    SECRET_KEY = get_random_secret_key()
