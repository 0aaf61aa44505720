"""What becomes of the records of one request, whatever Mixpanel answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixadmin.dataprep.judging import Chunk, Judged
from mixadmin.ingestion.delivery import MOST_REQUESTS, Flight, Outcome, deliver
from mixadmin.mixpanel.errors import ServerFailed, TooLarge
from mixadmin.mixpanel.ingestion import FailedRecord


def flight(count, first=0):
    """As many lines, of which the first few are not good."""
    lines = [b'{"n":%d}' % n for n in range(count)]
    judged = Judged(lines[first:], range(first, count))
    return Flight(Chunk(lines, 0, 1, 100), judged)


def failed(index, message="bad"):
    return FailedRecord(index, "", "properties.time", message)


def books(done):
    return done.imported, len(done.refused), done.unsettled


def test_all_of_a_good_request_is_imported():
    done = deliver(flight(3), None, lambda client, lines: Outcome(len(lines), ()))
    assert books(done) == (3, 0, 0)
    assert (done.requests, done.unverified) == (1, 0)


def test_a_partial_refusal_names_the_lines_of_the_chunk():
    def send(client, lines):
        return Outcome(2, (failed(1),))

    done = deliver(flight(5, first=2), None, send)
    assert books(done) == (2, 1, 0)
    assert [problem.index for problem in done.refused] == [3]


def test_valid_records_that_were_not_stored_are_sent_once_more():
    """The other reading of the documents: one bad record, and nothing is stored."""
    sent = []

    def send(client, lines):
        sent.append(list(lines))
        return Outcome(0, (failed(1),)) if len(sent) == 1 else Outcome(2, ())

    done = deliver(flight(3), None, send)
    assert books(done) == (2, 1, 0)
    assert sent[1] == [sent[0][0], sent[0][2]]


def test_a_count_that_is_wrong_twice_is_told_and_not_tried_for_ever():
    done = deliver(flight(4), None, lambda client, lines: Outcome(1, ()))
    assert done.requests == 2
    assert (done.imported, done.unverified) == (4, 3)


def test_a_request_that_is_too_large_is_halved_until_it_fits():
    sizes = []

    def send(client, lines):
        sizes.append(len(lines))
        if len(lines) > 3:
            raise TooLarge("413", status=413)
        return Outcome(len(lines), ())

    done = deliver(flight(10), None, send)
    assert books(done) == (10, 0, 0)
    assert sizes == [10, 5, 2, 3, 5, 2, 3]
    assert 0 < done.too_large <= 10 * 9


def test_a_record_that_is_too_large_alone_is_refused_and_the_others_go():
    def send(client, lines):
        if b'{"n":7}' in lines:
            raise TooLarge("413", status=413)
        return Outcome(len(lines), ())

    done = deliver(flight(10), None, send)
    assert books(done) == (9, 1, 0)
    assert done.refused[0].index == 7


@given(sizes=st.lists(st.integers(0, 40), max_size=60), more=st.integers(0, 9))
def test_no_request_is_larger_than_wanted_unless_it_is_one_record(sizes, more):
    lines = [b"x" * size for size in sizes]
    going = Flight(Chunk(lines, 0, 1, 0), Judged(lines, range(len(lines))))
    going.fit(100, more=more)
    sent = []

    def send(client, lines):
        sent.append(list(lines))
        return Outcome(len(lines), ())

    deliver(going, None, send)
    assert [line for request in sent for line in request] == lines
    for request in sent:
        size = sum(len(line) + 1 + more for line in request)
        assert size <= 100 or len(request) == 1


@given(bad=st.sets(st.integers(0, 199), max_size=3))
def test_a_refusal_without_reasons_is_narrowed_down_to_the_bad_records(bad):
    texts = {b'{"n":%d}' % n for n in bad}

    def send(client, lines):
        if texts & set(lines):
            return Outcome(0, (), "identity events are not allowed")
        return Outcome(len(lines), ())

    done = deliver(flight(200), None, send)
    assert {problem.index for problem in done.refused} == bad
    assert done.imported == 200 - len(bad)


def test_looking_for_bad_records_costs_a_bounded_number_of_requests():
    done = deliver(flight(2000), None, lambda c, lines: Outcome(0, (), "no"))
    assert books(done) == (0, 2000, 0)
    assert done.requests <= 2 * MOST_REQUESTS


def test_what_was_settled_stays_settled_when_a_later_piece_fails():
    calls = []

    def send(client, lines):
        calls.append(len(lines))
        if len(lines) == 4:
            raise TooLarge("413", status=413)
        if len(calls) == 3:
            raise ServerFailed("503", status=503)
        return Outcome(len(lines), ())

    going = flight(4)
    with pytest.raises(ServerFailed):
        deliver(going, None, send)
    assert books(going) == (2, 0, 2)
    done = deliver(going, None, send)
    assert books(done) == (4, 0, 0)
    assert calls == [4, 2, 2, 2]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("some"), st.sets(st.integers(0, 60)), st.integers(0, 60)),
            st.just(("large",)),
            st.just(("whole",)),
            st.just(("none",)),
        ),
        max_size=40,
    ),
    st.integers(1, 50),
)
def test_the_books_balance_after_any_answers(answers, count):
    script = iter(answers)

    def send(client, lines):
        kind, *told = next(script, ("good",))
        if kind == "large":
            raise TooLarge("413", status=413)
        if kind == "whole":
            return Outcome(0, (), "no")
        if kind == "none":
            return Outcome(None, ())
        if kind == "some":
            return Outcome(told[1], tuple(failed(n) for n in sorted(told[0])))
        return Outcome(len(lines), ())

    done = deliver(flight(count), None, send)
    assert done.imported + len(done.refused) == count
    assert done.unsettled == 0
    indexes = [problem.index for problem in done.refused]
    assert len(indexes) == len(set(indexes))
