import pytest

from mixadmin.mixpanel.states import normalise_run_state


@pytest.mark.parametrize(
    ("state", "words"),
    {
        "queued": "queued pending scheduled QUEUED",
        "running": "running in_progress started staging RUNNING STARTED",
        "succeeded": "success succeeded ok completed SUCCESS SUCCEEDED Succeeded",
        "failed": "failed failure error FAILED FAILURE",
        "cancelled": "cancelled canceled revoked stopped CANCELLED REVOKED",
        "paused": "paused PAUSED",
        "unknown": "done finished sucess",
    }.items(),
)
def test_every_spelling_has_one_state(state, words):
    assert {normalise_run_state(word) for word in words.split()} == {state}


@pytest.mark.parametrize("raw", [None, "", " ", 1, True, [], {"status": "success"}])
def test_what_is_not_a_word_is_unknown(raw):
    assert normalise_run_state(raw) == "unknown"


def test_spaces_around_a_word_do_not_matter():
    assert normalise_run_state(" success\n") == "succeeded"
