"""What a bucket, its credentials and the name of a file may be."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixadmin.common.rules import (
    Field,
    Finding,
    check_fields,
    clean_text,
    given,
    json_type_name,
    lookup,
)

MAX_FILE_NAME = 255
MAX_KEY = 1024
# Unfinished uploads that one project may have.
MOST_UNFINISHED = 500

# Characters that turn the direction of text: "gpj.exe" would be shown as "exe.jpg".
TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Where Google's own keys say that their tokens come from. Another address in a key would
# let whoever enters it send this server there.
TOKEN_ADDRESSES = (
    "https://oauth2.googleapis.com/token",
    "https://accounts.google.com/o/oauth2/token",
    "https://www.googleapis.com/oauth2/v4/token",
)

REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,38}[a-z0-9]")
S3_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
GCS_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Kind:
    """A provider of buckets.

    fields: of its credentials. permissions: what they need, in its own words (list,
    read); Amazon and Google document them under these names.
    """

    slug: str
    label: str
    name: re.Pattern[str]
    scheme: str
    fields: tuple[Field, ...]
    permissions: tuple[str, str]
    has_region: bool = False


KINDS: dict[str, Kind] = {
    "s3": Kind(
        slug="s3",
        label="Amazon S3",
        name=S3_BUCKET,
        scheme="s3://",
        fields=(
            Field(
                "access_key_id",
                "Access key ID",
                "Of a user who may list the bucket and read its objects.",
                required=True,
                max_length=128,
            ),
            Field(
                "secret_access_key",
                "Secret access key",
                "Stored encrypted and never shown again.",
                kind="secret",
                required=True,
                secret=True,
                max_length=256,
            ),
        ),
        permissions=("s3:ListBucket", "s3:GetObject"),
        has_region=True,
    ),
    "gcs": Kind(
        slug="gcs",
        label="Google Cloud Storage",
        name=GCS_BUCKET,
        scheme="gs://",
        fields=(
            Field("type", "type", kind="choice", choices=(("service_account",) * 2,)),
            Field("project_id", "project_id"),
            Field("private_key_id", "private_key_id"),
            Field(
                "private_key",
                "private_key",
                kind="secret",
                required=True,
                secret=True,
                multiline=True,
                max_length=16_384,
            ),
            Field("client_email", "client_email", required=True),
            Field("client_id", "client_id"),
            Field("auth_uri", "auth_uri"),
            Field("token_uri", "token_uri"),
            Field("auth_provider_x509_cert_url", "auth_provider_x509_cert_url"),
            Field("client_x509_cert_url", "client_x509_cert_url", max_length=2048),
            Field("universe_domain", "universe_domain"),
        ),
        permissions=("storage.objects.list", "storage.objects.get"),
    ),
}


def check_bucket(
    *, provider: object, bucket: object, prefix: object = "", region: object = ""
) -> list[Finding]:
    """Every rule of a bucket that hangs on who provides it."""
    kind = lookup(KINDS, provider)
    if kind is None:
        return []
    findings: list[Finding] = []
    if isinstance(bucket, str) and bucket:
        findings += _check_bucket_name(kind, bucket)
    if isinstance(prefix, str) and prefix:
        findings += _check_prefix(prefix)
    if given(region):
        findings += _check_region(kind, region)
    return findings


def _check_bucket_name(kind: Kind, bucket: str) -> list[Finding]:
    if "/" in bucket or ":" in bucket:
        message = (
            f"Write the bucket name only, without {kind.scheme}. A path goes into the "
            "prefix."
        )
        return [Finding("bucket", message, "shape")]
    if not kind.name.fullmatch(bucket) or ".." in bucket or _is_address(bucket):
        message = (
            "Not a bucket name: lower-case letters, digits, dots and hyphens, at least "
            "3 characters, and no IP address."
        )
        return [Finding("bucket", message, "shape")]
    return []


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _check_prefix(prefix: str) -> list[Finding]:
    if "://" in prefix:
        message = "Write the path inside the bucket only, such as export/2026/."
        return [Finding("prefix", message, "shape")]
    if problem := key_problem(prefix):
        return [Finding("prefix", problem, "shape")]
    return []


def _check_region(kind: Kind, region: object) -> list[Finding]:
    if not kind.has_region:
        message = f"{kind.label} needs no region. Leave it empty."
        return [Finding("region", message, "not_used")]
    if not isinstance(region, str) or not REGION.fullmatch(region):
        message = "Not a region, such as eu-central-1."
        return [Finding("region", message, "shape")]
    return []


def check_credentials(provider: str, credentials: object) -> list[Finding]:
    """Every rule of credentials. {} is none: then the server's own role is used."""
    if credentials == {}:
        return []
    if not isinstance(credentials, Mapping):
        message = f"Must be a JSON object, not {json_type_name(credentials)}."
        return [Finding("", message, "type")]
    kind = KINDS[provider]
    if kind.slug == "gcs" and credentials.get("type") != "service_account":
        message = (
            "Not the key of a service account: its type must be service_account. Other "
            "sorts of credentials are not taken."
        )
        return [Finding("type", message, "shape")]
    findings = check_fields(kind.fields, credentials)
    if findings:
        return findings
    if kind.slug == "s3":
        return [
            Finding(name, "Must be plain ASCII without spaces.", "characters")
            for name, text in credentials.items()
            if not re.fullmatch(r"[\x21-\x7e]+", text)
        ]
    return _check_google_key(credentials)


def _check_google_key(key: Mapping[str, Any]) -> list[Finding]:
    findings = []
    if key.get("token_uri") and key["token_uri"] not in TOKEN_ADDRESSES:
        message = f"Must be {TOKEN_ADDRESSES[0]}, as in the key that Google made."
        findings.append(Finding("token_uri", message, "shape"))
    if key.get("universe_domain") not in (None, "", "googleapis.com"):
        message = "Must be googleapis.com."
        findings.append(Finding("universe_domain", message, "shape"))
    if not _is_private_key(key["private_key"]):
        message = (
            "Not a private key: paste the whole file that Google gave, from "
            "-----BEGIN PRIVATE KEY----- on."
        )
        findings.append(Finding("private_key", message, "shape"))
    return findings


def _is_private_key(text: str) -> bool:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return isinstance(key, RSAPrivateKey)


def check_file_name(name: object, field: str = "name") -> list[Finding]:
    """The name of an uploaded file. It is shown, and never used as a path."""
    findings = clean_text(
        field, name, label="File name", required=True, max_length=MAX_FILE_NAME
    )
    if findings or not isinstance(name, str):
        return findings
    if TURNING.search(name):
        message = (
            "Contains a character that turns the direction of text, so that the name "
            "looks like another one. Rename the file."
        )
        return [Finding(field, message, "characters")]
    if "/" in name or "\\" in name or name in (".", ".."):
        message = "Give the name of the file only, without folders."
        return [Finding(field, message, "shape")]
    return []


def path_problem(path: str) -> str:
    """What is wrong with a path below a directory, or ""."""
    parts = path.split("/")
    if path.startswith("/"):
        return "Begins with a slash. Give the path inside the directory."
    if any(part in ("", ".", "..") for part in parts):
        return "Holds an empty part, “.” or “..”. Give the plain path."
    return name_problem(path)


def key_problem(key: str) -> str:
    """What is wrong with the key of an object, or ""."""
    # A client between here and the bucket would take these for steps in a path.
    if any(part in (".", "..") for part in key.split("/")):
        return "Holds “.” or “..” between slashes, which cannot be asked for."
    return name_problem(key)


def name_problem(text: str) -> str:
    """What keeps a name from being stored and shown, or ""."""
    findings = clean_text("", text, max_length=MAX_KEY, trimmed=False)
    if findings:
        return findings[0].message
    if TURNING.search(text):
        return "Contains a character that turns the direction of text. Rename it."
    # Buckets count bytes.
    if len(text.encode()) > MAX_KEY:
        return f"Too long: at most {MAX_KEY:,} bytes."
    return ""
