from __future__ import annotations

import asyncio
import os

import pytest
from toolman.upstreams import lines

pytestmark = pytest.mark.requirement("F-07")


def test_only_a_line_feed_ends_a_line() -> None:
    splitter = lines.LineSplitter()
    data = "a\u2028b\u0085c\rd\n\ne".encode()
    assert splitter.feed(data) == ["a\u2028b\u0085c\rd".encode(), b""]
    assert splitter.feed(b"\n") == [b"e"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_it_does_not_matter_how_the_bytes_arrive(size: int) -> None:
    data = b"".join(b"%d" % n * (n % 5) + b"\n" for n in range(100)) + b"rest"
    splitter = lines.LineSplitter()
    found = [line for start in range(0, len(data), size) for line in splitter.feed(data[start : start + size])]
    assert found == data.split(b"\n")[:-1]


def test_a_line_over_the_limit_is_refused_and_forgotten() -> None:
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
