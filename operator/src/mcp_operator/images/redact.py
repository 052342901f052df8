"""Make the output of strangers' programs fit to be shown: one printable line, no credentials, bounded."""

from __future__ import annotations

import re
from collections import deque

LINE_LIMIT = 500
"""Characters of one line; minified sources and progress bars go beyond any use."""
TAIL_LINES = 20
TAIL_LIMIT = 2048

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s/@]{1,1000}@")
_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization\s*[:=]\s*(?:basic|bearer|token)?\s*)\S+")
# No pattern begins with a repetition: these lines are a stranger's, and each must cost little.
_ASSIGNED = re.compile(
    r"(?i)((?:token|secret|passw(?:or)?d|passphrase|credential|api[_-]?key|private[_-]?key"
    r"|access[_-]?key)[A-Za-z0-9_-]{0,40}[\"']?\s*[:=]\s*)(?:\"[^\"]{4,}\"|'[^']{4,}'|[\"']?[^\s\"',;]{4,})",
)
_OPTION = re.compile(r"(?i)(?<!\S)(--?[\w-]{0,40}(?:token|secret|passw(?:or)?d|api-?key)[\w-]{0,20}\s+)(?!-)\S{4,}")
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|npm_\w{20,}|pypi-[\w-]{20,}|sk-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,})",
)
MASK = "***"


def line(text: str) -> str:
    """Give one line without control characters, credentials in URLs, headers and assignments, and known tokens."""
    text = _ANSI.sub("", text[: 8 * LINE_LIMIT]).replace("\t", " ")
    text = "".join(char for char in text if char.isprintable())
    text = _USERINFO.sub(rf"\1{MASK}@", text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    text = _OPTION.sub(rf"\1{MASK}", text)
    text = _KNOWN.sub(MASK, text)
    return text if len(text) <= LINE_LIMIT else text[: LINE_LIMIT - 1] + "…"


def lines(text: str) -> list[str]:
    """Split output into printable lines; what a carriage return overwrote is left out, as on a terminal."""
    result = []
    for part in text.split("\n"):
        shown = line(part.rstrip("\r").rpartition("\r")[2])
        if shown.strip():
            result.append(shown.rstrip())
    return result


class Tail:
    """The last lines of something, for an error."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)

    def add(self, text: str) -> None:
        """Take lines that are printable already."""
        self._lines.append(text)

    def lines(self) -> list[str]:
        """Give the kept lines, oldest first."""
        return list(self._lines)

    def __str__(self) -> str:
        return "\n".join(self._lines).encode()[-TAIL_LIMIT:].decode(errors="ignore")
