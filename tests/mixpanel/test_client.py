import pytest

from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.http import Timeouts
from tests.mixpanel.wire import ok


def test_a_client_says_who_and_where(client):
    assert repr(client) == (
        "MixpanelClient('us', 'ops.1a2b.mp-service-account', project_id=7)"
    )
    assert (client.region, client.project_id) == ("us", 7)


def test_the_default_timeouts():
    assert Timeouts() == Timeouts(connect=5.0, read=15.0, total=30.0)


@pytest.mark.parametrize(
    "changes",
    [{"region": "us2"}, {"project_id": 0}, {"project_id": "7"}, {"project_id": True},
     {"username": "a:b"}, {"app_url": "nonsense"}],
)  # fmt: skip
def test_a_client_that_cannot_work_is_not_built(make_client, changes):
    with pytest.raises((TypeError, ValueError)):
        make_client(**changes)


def test_without_other_urls_a_client_speaks_to_the_real_hosts():
    with MixpanelClient("eu", "user", "secret") as client:
        assert client._http.region.app_url == "https://eu.mixpanel.com/api/app"
        assert client._http.region.ingestion_url == "https://api-eu.mixpanel.com"


def test_the_region_chooses_the_place(make_client, server):
    server.answer(ok([]))
    for region in ("us", "eu", "in"):
        make_client(region=region).warehouse.list_sources()
    assert [request.target.split("/")[1] for request in server.requests] == [
        "us",
        "eu",
        "in",
    ]


def test_leaving_the_block_closes_the_connections(make_client, server):
    server.answer(ok([]))
    with make_client() as client:
        client.warehouse.list_sources()
        assert server._threads[1].is_alive()
    server._threads[1].join(10)
    assert not server._threads[1].is_alive()
