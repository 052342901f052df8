import pytest
from mcp_wrapper.eventstream import EventStream, EventTooLongError

from mcp_wrapper import eventstream

STREAM = (
    b': hello\n\nid: 1\nretry: 250\ndata:\n\nid: 2\nevent: message\ndata: {"a":\ndata: 1}\n\n'
    b"event: other\rdata:x\r\rdata: \xe2\x80\xa8\r\n\r\nid: 3\n\ndata: unfinished"
)
EVENTS = [(b"message", b""), (b"message", b'{"a":\n1}'), (b"other", b"x"), (b"message", b"\xe2\x80\xa8")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_gives_the_same_events_however_it_is_cut(size: int) -> None:
    stream = EventStream()
    found = []
    for start in range(0, len(STREAM), size):
        found += [(event.kind, event.data) for event in stream.feed(STREAM[start : start + size])]
    assert found == EVENTS
    assert (stream.last_id, stream.retry) == (b"3", 0.25)


def test_an_id_counts_only_when_its_event_is_complete() -> None:
    stream = EventStream(b"before")
    stream.feed(b"id: after\ndata: x\n")
    assert stream.last_id == b"before"


@pytest.mark.parametrize("line", [b"id: a\0b", b"retry: soon", b"unknown: x", b"data"])
def test_fields_that_mean_nothing_are_passed_over(line: bytes) -> None:
    stream = EventStream()
    stream.feed(line + b"\n\n")
    assert (stream.last_id, stream.retry) == (b"", None)


def test_an_event_without_an_end_is_an_error_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventstream, "MAX_EVENT_BYTES", 1000)
    stream = EventStream()
    for _ in range(100):
        stream.feed(b"data: 0123456789\n\n")
    piece = b"data: 0123456789\n" * 50
    stream.feed(piece)
    with pytest.raises(EventTooLongError):
        stream.feed(piece)
