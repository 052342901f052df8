"""JSON text seen without decoding it: where its values begin and end.

A result of fifty megabytes is passed on, not read; decoding it would take several times its size in memory. And parts
of a message can be cut out or left out while the rest stays as it was written, to the last digit.
"""

from __future__ import annotations

import codecs
import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from mcp_wrapper.spool import Raw

SMALL_BYTES = 64 * 1024
"""A value up to this size is decoded; of a longer one, the members are looked at one by one."""
MAX_DEPTH = 4
"""Of the values looked at in a long message: what routes it is no deeper than an argument's member."""
MAX_BRACKETS = 10_000
"""Open at the same time. No decoder goes that deep."""
CHUNK_BYTES = 256 * 1024
WINDOW_BYTES = 16 * 1024

# No group may be repeated possessively: early versions of Python 3.11 lose their place in it. Repeated groups remember
# each round, so they are used on a window of the text at a time.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*"'
_tokens = re.compile(rb'(?:[^"]++|%b)*' % _STRING, re.DOTALL).match
_flat = re.compile(rb'(?:[^"\[\]{}]++|%b)*' % _STRING, re.DOTALL).match
_no_strings = re.compile(_STRING, re.DOTALL).sub
_in_string = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*', re.DOTALL).match
_to_quote = re.compile(rb'[^"]*+"').match
_scalar = re.compile(rb'[^\[\]{}",: \t\r\n]*+').match
_blanks = re.compile(rb"[ \t\r\n]*+").match
_QUOTE, _COMMA, _COLON, _BRACE, _END_BRACE, _BRACKET, _END_BRACKET, _BACKSLASH = b'",:{}[]\\'
_ENDS = {_BRACE: _END_BRACE, _BRACKET: _END_BRACKET}
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ROUNDS = 4
"""Of taking out pairs of brackets with nothing between them. Few things are nested deeper; the rest is counted."""


class SkimError(ValueError):
    """The text is not JSON."""


def members(text: Raw, start: int = 0, *, whole: bool = False) -> Iterator[tuple[str, int, int]]:
    """Walk through the members of an object: each one's name, and where its value begins and ends.

    Args:
        text: UTF-8.
        start: Where the object begins; blanks may come first.
        whole: Nothing but blanks may follow it.

    Raises:
        SkimError: It is no object, or has no end.
    """
    position = _after(text, start, _BRACE)
    while _at(text, position) != _END_BRACE:
        end = _string_end(text, position)
        name = json.loads(bytes(text[position:end]))
        begin = _after(text, end, _COLON)
        end = value_end(text, begin)
        yield name, begin, end
        position = _next(text, end, _END_BRACE)
    if whole and _skip_blanks(text, position + 1) != len(text):
        raise SkimError("more than one value")


def elements(text: Raw, start: int = 0, *, whole: bool = False) -> Iterator[tuple[int, int]]:
    """Walk through an array: where each element begins and ends; otherwise as :func:`members`."""
    position = _after(text, start, _BRACKET)
    while _at(text, position) != _END_BRACKET:
        end = value_end(text, position)
        yield position, end
        position = _next(text, end, _END_BRACKET)
    if whole and _skip_blanks(text, position + 1) != len(text):
        raise SkimError("more than one value")


def find(text: Raw, *path: str) -> tuple[int, int] | None:
    """Find a value by the names of the members that lead to it. Of equal names the last counts, as for a decoder."""
    place: tuple[int, int] | None = (_skip_blanks(text, 0), len(text))
    for name in path:
        if place is None or _at(text, place[0]) != _BRACE:
            return None
        start, place = place[0], None
        for found, begin, end in members(text, start):
            if found == name:
                place = begin, end
    return place


def value_end(text: Raw, start: int) -> int:
    """Find the end of the value that begins here.

    Raises:
        SkimError: There is none.
    """
    first = _at(text, start)
    if first == _QUOTE:
        return _string_end(text, start)
    if first not in _ENDS:
        return _match_end(_scalar(text, start), start)
    open_ends = bytearray((_ENDS[first],))
    position = start + 1
    while True:
        window = position + WINDOW_BYTES
        end = _match_end(_tokens(text, position, window), -1)
        if not _take_brackets(_brackets(bytes(text[position:end])), open_ends):
            return _end_in(text, position, open_ends)
        position = end
        if _at(text, position) == _QUOTE:
            position = _string_end(text, position)
        elif position < window:
            raise SkimError("a bracket is not closed")


def _brackets(tokens: bytes) -> bytes:
    """Give the brackets of whole tokens, without most of those that close again."""
    left = _no_strings(b"", tokens).translate(None, _NO_BRACKETS)
    for _ in range(_ROUNDS):
        left = left.replace(b"[]", b"").replace(b"{}", b"")
    return left


def _take_brackets(brackets: bytes, open_ends: bytearray) -> bool:
    """Open and close; False, and nothing is changed, if the last one is closed on the way."""
    ends = open_ends[:]
    for bracket in brackets:
        if bracket in _ENDS:
            ends.append(_ENDS[bracket])
            if len(ends) > MAX_BRACKETS:
                raise SkimError("nested too deeply")
        elif bracket != ends.pop():
            raise SkimError("brackets do not match")
        elif not ends:
            return False
    open_ends[:] = ends
    return True


def _end_in(text: Raw, position: int, open_ends: bytearray) -> int:
    """Find the place where the last bracket is closed; it is near."""
    while open_ends:
        position = _match_end(_flat(text, position, position + WINDOW_BYTES), -1)
        found = _at(text, position)
        if found in _ENDS:
            open_ends.append(_ENDS[found])
        elif found != open_ends.pop():
            raise SkimError("brackets do not match")
        position += 1
    return position


def outline(text: Raw, decode: Callable[[str], Any]) -> dict[str, Any]:
    """Decode an object as far as its values are small; a long string or array becomes ``...``.

    Args:
        text: UTF-8.
        decode: Reads a small value.

    Raises:
        ValueError: It is not JSON, or no object.
    """
    check_utf8(text)
    return {name: _outline(text, begin, end, 1, decode) for name, begin, end in members(text, whole=True)}


def _outline(text: Raw, start: int, end: int, depth: int, decode: Callable[[str], Any]) -> Any:  # noqa: ANN401 - any JSON
    if end - start <= SMALL_BYTES:
        return decode(str(text[start:end], "utf-8"))
    if depth < MAX_DEPTH and _at(text, start) == _BRACE:
        return {name: _outline(text, begin, stop, depth + 1, decode) for name, begin, stop in members(text, start)}
    return ...


def check_utf8(text: Raw) -> None:
    """See whether a text is UTF-8, without making a string of it.

    Raises:
        UnicodeDecodeError: It is not.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(text), CHUNK_BYTES):
        decoder.decode(text[start : start + CHUNK_BYTES])
    decoder.decode(b"", final=True)


def keep(text: Raw, spans: list[tuple[int, int]], wanted: list[bool]) -> bytes:
    """Write a text again with some elements of an array that stands in it.

    Args:
        text: UTF-8.
        spans: Where the elements begin and end: all of them, at least one.
        wanted: For each, whether it stays.
    """
    kept = [bytes(text[begin:end]) for (begin, end), stays in zip(spans, wanted, strict=True) if stays]
    return bytes(text[: spans[0][0]]) + b",".join(kept) + bytes(text[spans[-1][1] :])


def _at(text: Raw, position: int) -> int:
    return text[position] if position < len(text) else -1


def _match_end(match: re.Match[bytes] | None, start: int) -> int:
    if match is None or match.end() == start:
        raise SkimError("a value is missing")
    return match.end()


def _string_end(text: Raw, start: int) -> int:
    """Find a string's end. Most have no escapes at all, or none before their end: then the first quote is it."""
    if _at(text, start) != _QUOTE:
        raise SkimError("a string is missing")
    position = start + 1
    while True:
        end = _match_end(_to_quote(text, position), position)
        if text[end - 2] != _BACKSLASH:
            return end
        while position < end:
            # A window may end between a backslash and what it escapes: the backslash is left for the next one.
            position = _match_end(_in_string(text, position, position + WINDOW_BYTES), position)
            if _at(text, position) == _QUOTE:
                return position + 1


def _skip_blanks(text: Raw, position: int) -> int:
    return _match_end(_blanks(text, position), -1)


def _after(text: Raw, position: int, sign: int) -> int:
    position = _skip_blanks(text, position)
    if _at(text, position) != sign:
        raise SkimError(f"{chr(sign)!r} is missing")
    return _skip_blanks(text, position + 1)


def _next(text: Raw, position: int, last: int) -> int:
    position = _skip_blanks(text, position)
    if _at(text, position) == last:
        return position
    position = _after(text, position, _COMMA)
    if _at(text, position) == last:
        raise SkimError("a comma too many")
    return position
