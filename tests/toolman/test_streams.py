from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.streams import Budget, Streams

from toolman import jsonrpc, streams

pytestmark = pytest.mark.requirement("T-06")


class Sink:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ids: list[bytes] = []
        self.is_closed = False
        self.comments = 0

    def send(self, message: bytes, identifier: bytes, *, is_last: bool = False) -> None:
        del is_last
        assert not self.is_closed
        self.sent.append(message)
        self.ids.append(identifier)

    def prime(self, identifier: bytes) -> None:
        self.ids.append(identifier)

    def comment(self) -> None:
        self.comments += 1

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def budget() -> Budget:
    return Budget()


@pytest.fixture
def session(budget: Budget) -> Streams:
    return Streams(budget)


def test_what_is_sent_without_a_connection_is_there_for_who_comes_back(session: Streams) -> None:
    first, second = Sink(), Sink()
    stream = session.open("post", first)
    stream.send(b"1")
    stream.detach(first)
    stream.send(b"2")
    assert session.can_resume(first.ids[0])
    session.resume(first.ids[1], second)
    stream.send(b"3")
    assert (first.sent, second.sent) == ([b"1"], [b"2", b"3"])


def test_a_sink_that_is_not_the_streams_any_more_takes_nothing_with_it(session: Streams) -> None:
    first, second = Sink(), Sink()
    stream = session.open("post", first)
    session.resume(first.ids[0], second)
    assert first.is_closed
    stream.detach(first)
    assert stream.sink is second


def test_nothing_is_sent_after_the_outcome(session: Streams) -> None:
    sink = Sink()
    stream = session.open("post", sink)
    stream.finish(b"1", jsonrpc.result(b"{}"))
    stream.send(b"late")
    stream.finish(b"1", jsonrpc.result(b"{}"))
    assert sink.is_closed
    assert len(sink.sent) == 1


def test_what_a_session_keeps_is_bounded_and_a_gap_is_known(session: Streams, budget: Budget) -> None:
    sink = Sink()
    stream = session.open("post", sink)
    stream.detach(sink)
    for _ in range(30):
        stream.send(b"x" * 100_000)
    assert budget.kept <= streams.MAX_KEPT
    assert not session.can_resume(b"post-1-1")
    assert session.can_resume(b"post-1-25")


def test_what_all_sessions_keep_is_bounded_and_the_oldest_goes(budget: Budget) -> None:
    sessions = [Streams(budget) for _ in range(40)]
    for session in sessions:
        sink = Sink()
        stream = session.open("post", sink)
        stream.detach(sink)
        stream.send(b"x" * 900_000)
    assert budget.kept <= streams.MAX_KEPT_ALL
    assert not sessions[0].can_resume(b"post-1-0")
    assert sessions[-1].can_resume(b"post-1-0")
    for session in sessions:
        session.end()
    assert budget.kept == len(budget) == 0


def test_a_result_too_big_to_be_kept_becomes_an_error_that_says_so(session: Streams) -> None:
    sink, later = Sink(), Sink()
    stream = session.open("post", sink)
    stream.detach(sink)
    stream.finish(b"7", jsonrpc.result(b'"%b"' % (b"x" * streams.MAX_KEPT)))
    session.resume(b"post-1-0", later)
    assert b"send the request again" in later.sent[0]
    assert later.sent[0].startswith(b'{"jsonrpc":"2.0","id":7,"error":')


def test_a_result_too_big_to_be_kept_reaches_who_is_there(session: Streams, budget: Budget) -> None:
    sink = Sink()
    stream = session.open("post", sink)
    stream.finish(b"7", jsonrpc.result(b'"%b"' % (b"x" * streams.MAX_KEPT)))
    assert len(sink.sent[0]) > streams.MAX_KEPT
    assert budget.kept == 0


def test_streams_of_a_session_are_bounded_and_those_that_are_waited_for_stay(session: Streams) -> None:
    waiting = session.open("post", Sink())
    for _ in range(streams.MAX_STREAMS * 2):
        session.open("post", Sink()).finish(b"1", jsonrpc.result(b"{}"))
    assert len(session._all) == streams.MAX_STREAMS
    assert session._all[waiting.number] is waiting


def test_messages_that_wait_for_a_stream_are_bounded_and_equal_ones_are_one(session: Streams) -> None:
    for number in range(10_000):
        session.push(b"%d" % number)
        session.push(b"%d" % number)
    sink = Sink()
    session.open("get", sink)
    assert sink.sent[-1] == b"9999"
    assert len(sink.sent) == len(set(sink.sent)) < 1000


def test_a_message_goes_on_the_newest_stream_that_is_open(session: Streams) -> None:
    one, two = Sink(), Sink()
    session.open("get", one)
    newest = session.open("get", two)
    session.open("post", Sink())
    session.push(b"a")
    newest.detach(two)
    session.push(b"b")
    assert (one.sent, two.sent) == ([b"b"], [b"a"])
    assert session.is_open


def test_comments_go_to_the_connection_if_there_is_one(session: Streams) -> None:
    sink = Sink()
    stream = session.open("get", sink)
    stream.comment()
    stream.detach(sink)
    stream.comment()
    assert sink.comments == 1


@given(st.binary(max_size=60))
def test_no_event_id_of_a_stranger_breaks_anything(last: bytes) -> None:
    session = Streams(Budget())
    session.open("post", Sink())
    if session.can_resume(last):
        assert session.resume(last, Sink()).sink is not None


@given(st.lists(st.sampled_from(["note", "break", "back"]), max_size=30))
def test_a_client_that_comes_back_whenever_its_connection_breaks_misses_nothing(steps: list[str]) -> None:
    session, sinks = Streams(Budget()), [Sink()]
    stream = session.open("post", sinks[0])
    sent = []
    for number, step in enumerate([*steps, "back"]):
        if step == "note":
            sent.append(b"%d" % number)
            stream.send(sent[-1])
        elif step == "break":
            stream.detach(sinks[-1])
        elif stream.sink is None:
            last = next(sink.ids[-1] for sink in reversed(sinks) if sink.ids)
            sinks.append(Sink())
            session.resume(last, sinks[-1])
    assert [message for sink in sinks for message in sink.sent] == sent
