"""Whose a URI is, and in how many ways one resource can be spelled: URI templates are matched, never expanded. Pure.

A server may read ``file:///data/%2e%2e/secret`` where a deny list says ``file:///secret``, so a URI that no server
lists is decided on in its other spellings, too.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote

from toolman.policy import Decision, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.policy import Layer

MAX_URI = 8192
"""Characters of a URI that is looked for beyond the lists; what is longer is unknown."""

MAX_TEMPLATES = 32 * 1024
"""Characters of all templates of a server together that are matched: a bound of what one look-up costs."""

_ROUNDS = 4  # of percent-encoding on top of each other; whoever needs more wants to confuse
_EXPRESSION = re.compile(r"\{([+#./;?&]?)([^{}]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TAIL = re.compile(r"[?#].*", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})

_FORBIDDEN = {"": "/", "+": "", "#": "", ".": "/?#", ";": "/?#", "/": "?#", "?": "#", "&": "#"}
"""Characters that an expression cannot stand for, by its operator (RFC 6570, 3.2)."""


class Template:
    """A URI template, as far as telling what it may expand to.

    All positions that can be reached in a URI are kept as the bits of one integer, so that a match costs a few
    operations for each character of the template, whatever the two look like: nothing is tried twice.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[tuple[str, str]] = []  # a literal, then what the expression behind it cannot hold
        position = 0
        for found in _EXPRESSION.finditer(text):
            self._parts.append((text[position : found.start()], _forbidden(found[1], found[2])))
            position = found.end()
        self._end = text[position:]

    def matches(self, uri: Places) -> bool:
        """Tell whether a URI may have come from this template."""
        if not self._parts:
            return uri.text == self.text
        if not uri.text.startswith(self._parts[0][0]) or not uri.text.endswith(self._end):
            return False
        reached = 1
        for literal, forbidden in self._parts:
            reached = uri.past(reached, literal)
            if not reached:
                return False
            reached = uri.beyond(reached, forbidden)
        return bool(uri.past(reached, self._end) >> len(uri.text) & 1)


class Places:
    """A URI, and where in it each character stands: looked at once for all templates. Positions are bits."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._of: dict[str, int] = {}
        for position, character in enumerate(text):
            self._of[character] = self._of.get(character, 0) | 1 << position

    def past(self, reached: int, literal: str) -> int:
        """Move positions past a literal; those where it does not stand are lost."""
        for character in literal:
            reached = (reached & self._of.get(character, 0)) << 1
            if not reached:
                break
        return reached

    def beyond(self, reached: int, forbidden: str) -> int:
        """Spread positions over any number of characters that are not forbidden."""
        free = (1 << len(self.text)) - 1
        for character in forbidden:
            free &= ~self._of.get(character, 0)
        # Adding carries each position to the end of the run of free characters that it stands in.
        return reached | (((reached & free) + free) ^ free)


def _forbidden(operator: str, names: str) -> str:
    return "" if names.endswith("*") and not operator else _FORBIDDEN[operator]


def decide_uri(layers: Sequence[Layer], server: str, uri: str) -> Decision:
    """Decide on a URI that a server does not list, in all spellings that the server may take for the same.

    It must be allowed as it is. In its other spellings it must not be on a deny list, and where it walks up (``..``)
    what it walks to must be allowed as if it had been asked for.
    """
    decision = decide(layers, server, "resources", uri)
    if not decision.allowed:
        return decision
    found = _spellings(uri)
    if found is None:
        return Decision(allowed=False, reason="Denied")
    spellings, walks = found
    for spelling in spellings:
        other = decide(layers, server, "resources", spelling)
        if not other.allowed and (walks or other.reason == "Denied"):
            return other
    return decision


def _spellings(uri: str) -> tuple[tuple[str, ...], bool] | None:
    """Give the plainest spelling of a URI, whole and without its query, and whether it walks up or stands still.

    None if it holds what no URI holds, or is encoded too many times over.
    """
    text = uri
    for _ in range(_ROUNDS):
        if _CONTROL.search(text):
            return None
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    else:
        return None
    found = _SCHEME.match(text)
    scheme, start = (found[0].lower(), found.end()) if found else ("", 0)
    rest = unicodedata.normalize("NFC", text[start:]).replace("\\", "/")
    tail = _TAIL.search(rest)
    path = rest[: tail.start()] if tail else rest
    root, path = _root(scheme, path)
    segments = path.split("/")
    plain = f"{scheme}{root}{_resolve(segments)}"
    spellings = dict.fromkeys((plain, plain + (tail[0] if tail else ""), plain.rstrip("/")))
    return tuple(spellings), not {".", ".."}.isdisjoint(segments)


def _root(scheme: str, path: str) -> tuple[str, str]:
    """Split off what stands before a path: slashes and authority."""
    if scheme == "file:" and not path.startswith("//"):
        path = "///" + path.lstrip("/")
    if not path.startswith("//"):
        return "", path
    authority, slash, path = path[2:].partition("/")
    authority = authority.lower()
    if scheme == "file:" and authority in _LOCAL:
        authority = ""
    return f"//{authority}{slash}", path


def _resolve(segments: Sequence[str]) -> str:
    """Join the segments of a path without empty ones and without those that walk."""
    resolved: list[str] = []
    for segment in segments:
        if segment == "..":
            del resolved[-1:]
        elif segment not in {"", "."}:
            resolved.append(segment)
    return "/".join(resolved) + ("/" if resolved and not segments[-1] else "")
