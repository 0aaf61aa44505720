import pytest

from mixadmin.mixpanel.regions import REGIONS, is_upload_place, origin, urls


@pytest.mark.parametrize(
    ("region", "app", "ingestion", "query"),
    [
        ("us", "https://mixpanel.com/api/app", "https://api.mixpanel.com",
         "https://mixpanel.com/api/query"),
        ("eu", "https://eu.mixpanel.com/api/app", "https://api-eu.mixpanel.com",
         "https://eu.mixpanel.com/api/query"),
        ("in", "https://in.mixpanel.com/api/app", "https://api-in.mixpanel.com",
         "https://in.mixpanel.com/api/query"),
    ],
)  # fmt: skip
def test_each_region_has_the_documented_hosts(region, app, ingestion, query):
    place = urls(region)
    assert (place.app_url, place.ingestion_url, place.query_url) == (
        app,
        ingestion,
        query,
    )


def test_every_region_has_a_label():
    assert all(place.label and place.code == code for code, place in REGIONS.items())


def test_replaced_urls_are_filled_with_the_region():
    place = urls(
        "in", "http://127.0.0.1:1/{region}/api/app/", "http://127.0.0.1:1/{region}"
    )
    assert place.app_url == "http://127.0.0.1:1/in/api/app"
    assert place.query_url == "http://127.0.0.1:1/in/api/query"
    assert place.ingestion_url == "http://127.0.0.1:1/in"


def test_an_unknown_region_is_refused():
    with pytest.raises(ValueError, match="known: us, eu, in"):
        urls("US")


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "file:///etc/passwd", "//host/x", "http://", "http://u:p@host/",
     "http://host/?a=b", "http://host/#f", "http://host:99999/"],
)  # fmt: skip
def test_a_replacement_that_is_no_plain_url_is_refused(url):
    with pytest.raises(ValueError):  # noqa: PT011
        urls("us", url)


def test_origins_compare_without_default_ports_and_case():
    assert origin("https://MixPanel.com:443/x") == origin("https://mixpanel.com/y")
    assert origin("http://mixpanel.com") != origin("https://mixpanel.com")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://storage.googleapis.com/bucket/x?sig=1", True),
        ("https://bucket.storage.googleapis.com/x", True),
        ("http://storage.googleapis.com/x", False),
        ("https://storage.googleapis.com:8443/x", False),
        ("https://storage.googleapis.com.evil.example/x", False),
        ("https://evilstorage.googleapis.com/x", False),
        ("https://storage.googleapis.com@evil.example/x", False),
        ("nonsense", False),
    ],
)
def test_files_are_uploaded_to_one_place_only(url, allowed):
    assert is_upload_place(url) is allowed
