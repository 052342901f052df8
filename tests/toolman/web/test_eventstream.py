from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.upstreams.web.eventstream import MAX_RETRY, Event, EventParser, EventTooLong

pytestmark = pytest.mark.requirement("T-06")

LIMIT = 1 << 20

PIECES = st.sampled_from(
    [
        b"data: x",
        b"data:y",
        b"data",
        b"event: note",
        b"id: 7",
        b"id",
        b"retry: 5",
        b": ping",
        b"",
        b"\xe2\x80\xa8",
        b"z",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.lists(st.tuples(PIECES, ENDS), max_size=30).map(lambda lines: b"".join(line + end for line, end in lines))


def events(*chunks: bytes, limit: int = LIMIT) -> list[Event]:
    parser = EventParser(limit)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def by_the_book(stream: bytes) -> list[Event]:
    """Read a whole stream the slow way, word by word as the standard has it."""
    found, data, name = [], b"", b""
    for line in re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                found.append(Event(name or b"message", data.removesuffix(b"\n")))
            data, name = b"", b""
        elif field == b"data":
            data += value + b"\n"
        elif field == b"event":
            name = value
    return found


@given(STREAMS, st.lists(st.integers(0, 300), max_size=8))
def test_any_split_gives_the_events_of_the_standard(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert events(*chunks) == by_the_book(stream)


@given(st.binary(max_size=200))
def test_no_bytes_break_it_and_one_by_one_they_mean_the_same(stream: bytes) -> None:
    assert events(*(stream[at : at + 1] for at in range(len(stream)))) == events(stream)


def test_only_the_three_line_ends_of_the_standard_end_a_line() -> None:
    text = '{"t":"a\u2028b\u2029c\u0085d\x0be\x0cf"}'.encode()
    assert events(b"data: " + text + b"\n\n") == [Event(b"message", text)]


def test_a_byte_order_mark_is_not_part_of_the_first_field() -> None:
    assert events(b"\xef\xbb\xbfdata: x\n\n") == [Event(b"message", b"x")]


def test_an_event_that_is_not_finished_is_none() -> None:
    assert events(b"data: x\n") == []


def test_the_last_identifier_counts_once_its_event_is_complete() -> None:
    parser = EventParser(LIMIT)
    parser.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n")
    assert parser.last == b"1"
    parser.feed(b"\n")
    assert parser.last == b"2"


def test_an_event_that_only_names_a_place_has_no_data() -> None:
    parser = EventParser(LIMIT)
    assert parser.feed(b"id: 1\ndata: \n\n") == [Event(b"message", b"")]
    assert parser.last == b"1"


@pytest.mark.parametrize("identifier", [b"a\x00b", b"a\x1bb", b"x" * 1025])
def test_an_identifier_that_no_header_can_carry_is_as_good_as_none(identifier: bytes) -> None:
    parser = EventParser(LIMIT)
    parser.feed(b"id: " + identifier + b"\ndata: x\n\n")
    assert parser.last == b""


@pytest.mark.parametrize(
    ("said", "meant"), [(b"250", 250), (b"0", 0), (b"soon", None), (b"-1", None), (b"9" * 400, MAX_RETRY)]
)
def test_the_wait_before_coming_back_is_what_the_server_says_within_bounds(said: bytes, meant: int | None) -> None:
    parser = EventParser(LIMIT)
    parser.feed(b"retry: " + said + b"\n\n")
    assert parser.retry == meant


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 2000, b"data: x\n" * 2000, b"x" * 2000, b"data\n" * 2000])
def test_an_event_without_an_end_is_given_up(stream: bytes) -> None:
    with pytest.raises(EventTooLong):
        events(*(stream[at : at + 100] for at in range(0, len(stream), 100)), limit=1000)


def test_many_small_events_are_not_one_large_one() -> None:
    chunks = [b": ping\n\ndata: x\n\n"] * 1000
    assert len(events(*chunks, limit=100)) == 1000
