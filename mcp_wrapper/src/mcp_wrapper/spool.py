"""Messages that arrive in pieces. Long ones are kept out of the heap, which would not give the room back."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import TypeAlias

    Raw: TypeAlias = bytes | memoryview
    """A message as it travels; a long one is a view of memory that goes back to the system with it."""

LONG_BYTES = 256 * 1024
FIRST_BYTES = 1024 * 1024


class Spool:
    """Collects pieces, and gives them in one. Work is linear, whatever the pieces' sizes."""

    __slots__ = ("_map", "_pieces", "size")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._map: mmap | None = None

    def expect(self, size: int) -> None:
        """Make room for a message whose size is known, before its first piece."""
        if size > LONG_BYTES:
            self._map = _mapped(size)

    def add(self, piece: bytes) -> None:
        """Append a piece."""
        begin, self.size = self.size, self.size + len(piece)
        if self.size <= LONG_BYTES and self._map is None:
            self._pieces.append(piece)
        else:
            self._room(begin)[begin : self.size] = piece

    def take(self) -> Raw:
        """Give everything so far, and begin anew."""
        size, self.size = self.size, 0
        room, self._map = self._map, None
        pieces, self._pieces = self._pieces, []
        if room is None:
            return b"".join(pieces) if len(pieces) != 1 else pieces[0]
        return memoryview(room)[:size].toreadonly()

    def clear(self) -> None:
        """Forget everything so far."""
        self.take()

    def _room(self, filled: int) -> mmap:
        if self._map is None:
            self._map = _mapped(max(self.size, FIRST_BYTES))
            self._map[:filled] = b"".join(self._pieces)
            self._pieces.clear()
        elif len(self._map) < self.size:
            bigger = _mapped(max(self.size, 2 * len(self._map)))
            bigger[:filled] = memoryview(self._map)[:filled]
            self._map = bigger
        return self._map


def _mapped(size: int) -> mmap:
    import mmap  # noqa: PLC0415 - most agents never send or get anything long

    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
