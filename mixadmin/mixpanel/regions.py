"""Region -> hosts: the only table of hosts in the product."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Region:
    """One data residency region. The URLs have no slash at their end."""

    code: str
    label: str
    app_url: str
    ingestion_url: str
    query_url: str


REGIONS = {
    "us": Region(
        code="us",
        label="United States",
        app_url="https://mixpanel.com/api/app",
        ingestion_url="https://api.mixpanel.com",
        query_url="https://mixpanel.com/api/query",
    ),
    "eu": Region(
        code="eu",
        label="European Union",
        app_url="https://eu.mixpanel.com/api/app",
        ingestion_url="https://api-eu.mixpanel.com",
        query_url="https://eu.mixpanel.com/api/query",
    ),
    "in": Region(
        code="in",
        label="India",
        app_url="https://in.mixpanel.com/api/app",
        ingestion_url="https://api-in.mixpanel.com",
        query_url="https://in.mixpanel.com/api/query",
    ),
}

# Mixpanel hands out signed links for lookup table files; the host is not
# documented. Its own cloud is Google's, so that is the only place allowed.
UPLOAD_HOST = "storage.googleapis.com"


def urls(region: str, app_url: str = "", ingestion_url: str = "") -> Region:
    """The region with its URLs, replaced by the given ones where not empty.

    The replacements may hold ``{region}``. The query URL is the App API's with
    ``query`` for ``app`` at its end. Raises ValueError for an unknown region or
    a URL that is not plain http(s).
    """
    if region not in REGIONS:
        raise ValueError(f"unknown region {region!r}; known: {', '.join(REGIONS)}")
    place = REGIONS[region]
    if app_url:
        app = _filled(app_url, region)
        query = app.removesuffix("/app") + "/query"
        place = replace(place, app_url=app, query_url=query)
    if ingestion_url:
        place = replace(place, ingestion_url=_filled(ingestion_url, region))
    return place


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL. Raises ValueError unless it is http(s)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http(s) URL with a host")
    if "@" in parts.netloc:
        raise ValueError("a URL must not carry credentials")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname.rstrip("."), port


def is_upload_place(url: str) -> bool:
    """Whether a signed link leads to where Mixpanel keeps uploaded files."""
    try:
        scheme, host, port = origin(url)
    except ValueError:
        return False
    return (
        scheme == "https"
        and port == 443
        and (host == UPLOAD_HOST or host.endswith("." + UPLOAD_HOST))
    )


def _filled(template: str, region: str) -> str:
    url = template.replace("{region}", region).rstrip("/")
    origin(url)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("a base URL must have no query and no fragment")
    return url
