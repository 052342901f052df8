import os

import pytest
from mcp_wrapper.log import Log, printable


def test_text_of_others_cannot_move_a_terminals_cursor() -> None:
    assert printable("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\\nc\\u202e"


def test_long_text_is_cut() -> None:
    assert printable("x" * 11, 10) == "x" * 10 + "..."


@pytest.mark.parametrize(("tracing", "lines"), [(False, 1), (True, 2)])
def test_details_are_written_only_when_asked_for(tracing: bool, lines: int) -> None:  # noqa: FBT001 - a table's column
    reader, writer = os.pipe()
    log = Log(tracing=tracing, fd=writer)
    log.note("one")
    log.trace("two")
    os.close(writer)
    assert os.read(reader, 1000).count(b"\n") == lines
    os.close(reader)


def test_a_closed_log_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = Log(fd=writer)
    log.note("nobody hears")
    os.close(writer)
    log.note("nor this")
