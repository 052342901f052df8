from __future__ import annotations

import asyncio
import itertools
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.upstreams import Failure, hijack
from toolman_harness import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("T-22")

PIECES = st.lists(st.tuples(st.sampled_from((hijack.STDOUT, hijack.STDERR)), st.binary(max_size=20)), max_size=10)


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


@given(PIECES, st.lists(st.integers(min_value=0, max_value=300)))
def test_any_split_of_a_stream_gives_the_same_outputs(pieces: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(*piece) for piece in pieces)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    frames = hijack.Frames()
    found = [piece for start, end in itertools.pairwise(edges) for piece in frames.feed(data[start:end])]
    for stream in (hijack.STDOUT, hijack.STDERR):
        assert b"".join(data for one, data in found if one == stream) == b"".join(
            data for one, data in pieces if one == stream
        )
    assert all(data for _, data in found)


class Taker:
    def __init__(self) -> None:
        self.found: list[tuple[int, bytes]] = []
        self.over = asyncio.Event()

    def wrote(self, stream: int, data: bytes) -> None:
        self.found.append((stream, data))

    def closed(self) -> None:
        self.over.set()


async def attached(path: Path, answer: bytes, taker: Taker) -> tuple[hijack.Attachment, bytes]:
    """Attach to an engine that answers like this and closes; give what it was asked as well."""
    asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        found = await hijack.attach(hijack.Address(path=str(path)), "1.41", "abc", taker, LIMIT)
        return found, await asked


async def test_the_streams_are_asked_for_and_taken(tmp_path: Path) -> None:
    taker = Taker()
    head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\n"
    _, asked = await attached(tmp_path / "s", head + frame(1, b"a\n") + frame(2, b"b"), taker)
    assert asked.startswith(b"POST /v1.41/containers/abc/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n")
    async with asyncio.timeout(LIMIT):
        await taker.over.wait()
    assert taker.found == [(1, b"a\n"), (2, b"b")]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'HTTP/1.1 404 Not Found\r\n\r\n{"message":"No such container"}', "No such container"),
        (b"HTTP/1.1 101", "it closed the connection"),
        (b"", "it closed the connection"),
        (b"x" * 100_000, "does not give its streams: x"),
    ],
)
async def test_an_engine_that_does_not_give_them_is_a_failure(answer: bytes, text: str, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=text):
        await attached(tmp_path / "s", answer, Taker())


async def test_an_engine_that_is_not_there_or_silent_is_a_failure(tmp_path: Path) -> None:
    address = hijack.Address(path=str(tmp_path / "s"))
    with pytest.raises(Failure, match="cannot be reached: No such file"):
        await hijack.attach(address, "1.41", "abc", Taker(), LIMIT)
    silent = asyncio.Event()
    server = await asyncio.start_unix_server(lambda _, writer: finish(silent, writer), address.path)
    async with server:
        with pytest.raises(Failure, match=r"did not answer within 0.05 s"):
            await hijack.attach(address, "1.41", "abc", Taker(), 0.05)
        silent.set()


async def finish(event: asyncio.Event, writer: asyncio.StreamWriter) -> None:
    await event.wait()
    writer.close()
