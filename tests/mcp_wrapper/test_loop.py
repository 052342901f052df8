from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from mcp_wrapper.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="pipe")
def fixture_pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_timers_come_in_their_order_and_cancelled_ones_do_not() -> None:
    loop, happened = Loop(), []
    loop.after(0.02, loop.stop)
    loop.after(0.01, lambda: happened.append("second"))
    loop.after(0, lambda: happened.append("first"))
    cancelled = loop.after(0, lambda: happened.append("never"))
    cancelled.cancel()
    loop.run()
    assert happened == ["first", "second"]
    assert not cancelled.pending


def test_a_file_is_read_when_there_is_something(pipe: tuple[int, int]) -> None:
    loop = Loop()
    read = []

    def readable() -> None:
        read.append(os.read(pipe[0], 10))
        loop.stop()

    loop.watch(pipe[0], readable)
    loop.after(0, lambda: os.close(pipe[1]))
    os.write(pipe[1], b"x")
    loop.run()
    assert read == [b"x"]


def test_a_pipe_whose_reader_goes_away_is_noticed_without_writing(pipe: tuple[int, int]) -> None:
    loop = Loop()
    loop.watch_end(pipe[1], loop.stop)
    loop.after(0, lambda: os.close(pipe[0]))
    loop.run()


def test_a_file_that_was_forgotten_in_the_same_round_is_left_alone(pipe: tuple[int, int]) -> None:
    loop, calls = Loop(), []
    second = os.dup(pipe[0])

    def once(fd: int) -> None:
        calls.append(fd)
        loop.forget(pipe[0])
        loop.forget(second)
        loop.after(0, loop.stop)

    loop.watch(pipe[0], lambda: once(pipe[0]))
    loop.watch(second, lambda: once(second))
    os.write(pipe[1], b"x")
    loop.run()
    os.close(second)
    assert len(calls) == 1


def test_a_file_that_took_the_number_of_another_is_not_called_for_the_others_event(pipe: tuple[int, int]) -> None:
    loop, calls = Loop(), []
    second = os.dup(pipe[0])
    quiet, keep = os.pipe()

    def replace() -> None:
        loop.forget(pipe[0])
        loop.forget(second)
        os.dup2(quiet, second)
        loop.watch(second, lambda: calls.append("wrong"))
        loop.after(0, loop.stop)

    loop.watch(pipe[0], replace)
    loop.watch(second, replace)
    os.write(pipe[1], b"x")
    loop.run()
    for fd in (second, quiet, keep):
        os.close(fd)
    assert calls == []


def test_regular_files_are_always_ready() -> None:
    loop = Loop()
    with open(__file__, "rb") as file:  # noqa: PTH123 - its descriptor is what counts
        loop.watch(file.fileno(), loop.stop)
        loop.run()
