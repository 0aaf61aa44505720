import pickle

import pytest

from mixadmin.mixpanel import errors

# kind, transient, may have happened
EXPECTED = {
    errors.RateLimited: ("rate_limited", True, False),
    errors.ServerFailed: ("server_failed", True, True),
    errors.Unreachable: ("unreachable", True, False),
    errors.ReplyLost: ("reply_lost", True, True),
    errors.BadRequest: ("bad_request", False, False),
    errors.NotAuthenticated: ("not_authenticated", False, False),
    errors.NotAllowed: ("not_allowed", False, False),
    errors.NotFound: ("not_found", False, False),
    errors.TooLarge: ("too_large", False, False),
    errors.Redirected: ("redirected", False, False),
    errors.UnexpectedResponse: ("unexpected_response", False, True),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_each_error_says_what_the_caller_can_do(kind):
    slug, transient, may_have_happened = EXPECTED[kind]
    assert kind.kind == slug
    assert issubclass(kind, errors.TransientError) is transient
    assert issubclass(kind, errors.PermanentError) is not transient
    assert kind("x").may_have_happened is may_have_happened


def test_the_table_above_is_complete():
    leaves = set()
    todo = [errors.MixpanelError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if not kind.__subclasses__():
            leaves.add(kind)
    assert leaves == set(EXPECTED)


def test_an_error_survives_pickling():
    error = errors.RateLimited(
        "slow down", status=429, code="x", body="y", request_id="z", retry_after=3.0
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == ("slow down", vars(error))
    assert vars(copy)["retry_after"] == 3.0
