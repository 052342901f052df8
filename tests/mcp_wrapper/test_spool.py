import pytest
from mcp_wrapper.spool import FIRST_BYTES, LONG_BYTES, Spool


@pytest.mark.parametrize("total", [0, 1, LONG_BYTES, LONG_BYTES + 1, FIRST_BYTES + 1, 5 * FIRST_BYTES])
@pytest.mark.parametrize("size", [60_001, 7 * FIRST_BYTES])
def test_what_was_added_is_given_in_one_piece(total: int, size: int) -> None:
    content = bytes(range(251)) * (total // 251 + 1)
    spool = Spool()
    for start in range(0, total, size):
        spool.add(content[start : min(start + size, total)])
    assert spool.size == total
    taken = spool.take()
    assert taken == content[:total]
    assert isinstance(taken, memoryview) is (total > LONG_BYTES)
    assert (spool.size, spool.take()) == (0, b"")


def test_what_is_taken_does_not_change_when_more_is_added() -> None:
    spool = Spool()
    spool.add(b"a" * LONG_BYTES)
    spool.add(b"b")
    first = spool.take()
    spool.add(b"c" * 2 * LONG_BYTES)
    assert bytes(first[-2:]) == b"ab"


@pytest.mark.parametrize("announced", [0, 10, LONG_BYTES + 1, 10 * LONG_BYTES])
@pytest.mark.parametrize("size", [0, 5, 3 * LONG_BYTES])
def test_what_was_announced_need_not_be_what_comes(announced: int, size: int) -> None:
    spool = Spool()
    spool.expect(announced)
    for start in range(0, size, LONG_BYTES):
        spool.add(b"x" * min(LONG_BYTES, size - start))
    assert spool.take() == b"x" * size
