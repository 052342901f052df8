from __future__ import annotations

import asyncio
import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.upstreams import complaints, lines

pytestmark = pytest.mark.requirement("T-20", "T-05")

LIMIT = 20
STREAM = st.lists(st.sampled_from([b"a", b"\n", b"\r", "\u2028".encode(), b"x" * 7, b"\0", b"\xff"]), max_size=60)


def split(data: bytes, cuts: list[int], limit: int) -> tuple[list[bytes], bool]:
    """Feed the data in pieces; give the lines and whether one was too long."""
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    splitter = lines.LineSplitter(limit)
    found: list[bytes] = []
    for start, end in itertools.pairwise(edges):
        try:
            found += splitter.feed(data[start:end])
        except lines.LineTooLong:
            return found, True
    return found, False


@given(STREAM, st.lists(st.integers(min_value=0, max_value=300)))
def test_any_split_of_a_stream_gives_the_same_lines(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    assert split(data, cuts, 10_000) == (data.split(b"\n")[:-1], False)


@given(STREAM, st.lists(st.integers(min_value=0, max_value=300)))
def test_a_line_over_the_limit_is_refused_however_it_arrives(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    expected = data.split(b"\n")
    found, is_refused = split(data, cuts, LIMIT)
    assert is_refused == any(len(line) > LIMIT for line in expected)
    assert found == expected[: len(found)]


def test_only_a_line_feed_ends_a_line() -> None:
    splitter = lines.LineSplitter()
    data = "a\u2028b\u0085c\rd\n\ne".encode()
    assert splitter.feed(data) == ["a\u2028b\u0085c\rd".encode(), b""]
    assert splitter.feed(b"\n") == [b"e"]


def test_a_line_over_the_limit_is_forgotten() -> None:
    splitter = lines.LineSplitter(10)
    splitter.feed(b"12345")
    with pytest.raises(lines.LineTooLong):
        splitter.feed(b"678901")
    assert splitter.feed(b"x\n") == [b"x"]


async def test_what_is_written_arrives_in_order_however_slowly_it_is_read() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    writer = lines.Writer(writing)
    sent = [b"%d " % n * 20_000 for n in range(50)]
    for line in sent:
        assert writer.write(line)
    got: list[bytes] = []
    complete, ended = asyncio.Event(), asyncio.Event()
    splitter = lines.LineSplitter()

    def take(data: bytes) -> None:
        got.extend(splitter.feed(data))
        if len(got) == len(sent):
            complete.set()

    lines.Reader(reading, take, ended.set)
    async with asyncio.timeout(20):
        await complete.wait()
        writer.close()
        await ended.wait()
    assert got == sent


async def test_a_reader_that_does_not_read_is_not_buffered_for_without_end() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = lines.Writer(writing)
    line = b"x" * 1024 * 1024
    accepted = sum(writer.write(line) for _ in range(100))
    assert accepted * len(line) <= lines.MAX_BACKLOG + 2 * len(line)
    writer.close()
    os.close(reading)
    assert not writer.write(b"x")


async def test_writing_to_nobody_closes_quietly() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.close(reading)
    writer = lines.Writer(writing)
    assert writer.write(b"x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not writer.write(b"x")


async def test_the_end_of_stderr_is_kept_readable_and_short() -> None:
    found = complaints.Complaints("git")
    assert found.end == ""
    for number in range(200):
        found.feed(b"line %d\r\n" % number)
    found.feed(b"x" * 100_000)
    found.feed(b"\x1b[31mred\xe9\nunfinished")
    heading, *rest = found.end.split("\n")
    assert heading == "end of its stderr:"
    assert len(rest) == complaints.KEPT
    assert rest[-3:] == ["line 199", "(a very long line)", "\\x1b[31mred\\xe9"]


async def test_a_flood_of_stderr_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    found = complaints.Complaints("git")
    for _ in range(1000):
        found.feed((b"x" * 1000 + b"\n") * 10)
    assert len(caplog.text) < 2 * complaints.PER_SECOND
    found._second = 0.0
    found.feed(b"more\n")
    assert "lines are left out" in caplog.text
    assert "stderr: more" in caplog.text
