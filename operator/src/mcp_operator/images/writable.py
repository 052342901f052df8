"""What to do for a server that does not start because it cannot write: its root is read-only, but for one folder. Pure.

What it writes to where it starts can go to that folder, if it starts there. What it writes beside its own files is made
a link to there, once and for all, in its image: so it works in a Pod as it does anywhere else.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator import names
from mcp_operator.images.detect.candidate import APP
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST = 4
"""Links in one image: one that writes to more places is made to be changed where it is."""

_REFUSED = re.compile(
    r"(?i)read-only file system|\bEROFS\b|\bEACCES\b|permission denied|(?:unable to|cannot) open database file"
    # What Node says of several folders at once, the first of which it may not make.
    r"|ENOENT: no such file or directory, mkdir "
)
_PLACES = (
    re.compile(r"(?:EROFS|EACCES)\b[^'\"\n]*, (?P<call>\w+) ['\"](?P<path>/[^'\"\n]+)"),
    re.compile(r"ENOENT: no such file or directory, (?P<call>mkdir) '(?P<path>/[^'\n]+)"),
    re.compile(r"(?P<call>\w+) (?P<path>/[^\s:]+): (?:read-only file system|permission denied)"),
    re.compile(r"(?:Read-only file system|Permission denied): ['\"](?P<path>/[^'\"\n]+)"),
)
"""How Node, Go and Python say it, all but the last with the call."""
_MAKES_FOLDER = re.compile(r"\b(?:os\.)?(?:mkdir|makedirs)\(")
_FRAMES = 6
"""Lines before Python's error that belong to the call that failed."""
_FILE_OF_ITS_OWN = re.compile(r"\.[a-z]{1,4}\Z|=?\.{0,2}/|=\.")
_SCRIPT = 'mkdir -p "$(dirname "$2")" && ln -sT "$1" "$2"'


class Link(NamedTuple):
    """A path that leads to the folder that can be written.

    Attributes:
        path: In the image, where nothing is yet.
        target: Where it leads.
    """

    path: str
    target: str


def refused(lines: Iterable[str]) -> bool:
    """Tell whether a server's last lines say that it could not write."""
    return any(_REFUSED.search(line) for line in lines)


def link(lines: Sequence[str]) -> Link | None:
    """Give the link that a server's last lines ask for; None if they name no place among its own files."""
    for number, line in reversed(list(enumerate(lines))):
        match = next(filter(None, (pattern.search(line) for pattern in _PLACES)), None)
        if not match:
            continue
        path = str(PurePosixPath(match["path"]))
        if not path.startswith(f"{APP}/") or ".." in PurePosixPath(path).parts or not PLAIN_PATH.match(path[1:]):
            return None
        before = lines[max(0, number - _FRAMES) : number]
        folder = match.groupdict().get("call") == "mkdir" or any(map(_MAKES_FOLDER.search, before))
        # A folder cannot be made there before it starts: it is the one that is there.
        target = names.SERVER_HOME if folder else f"{names.SERVER_HOME}/{PurePosixPath(path).name}"
        return Link(path, target)
    return None


def usual(folder: str) -> Link | None:
    """Give the link for a server that ends without a word: those that cannot make their logs have nowhere to say so.

    Args:
        folder: Where it starts.
    """
    return Link(f"{folder}/logs", names.SERVER_HOME) if PurePosixPath(folder).is_relative_to(APP) else None


def moves(command: Sequence[str], *, installed: bool) -> bool:
    """Tell whether a command does the same wherever it starts.

    Args:
        command: Program and arguments.
        installed: Modules that it names are installed, not found in the folder.
    """
    program, *rest = command
    if "/" in program and not program.startswith("/"):
        return False
    for word in rest:
        if word in ("-c", "-m"):
            return installed
        if not word.startswith("/") and _FILE_OF_ITS_OWN.search(word):
            return False
    return True


def lines(links: Iterable[Link]) -> list[str]:
    """Give the lines of a Dockerfile that make the links; whoever is the image's user stays so."""
    made = [f"RUN {json.dumps(['sh', '-c', _SCRIPT, 'sh', each.target, each.path])}" for each in links]
    return ["USER 0:0", *made, f"USER {names.IMAGE_UID}:{names.IMAGE_UID}"] if made else []


def place(folder: str) -> str:
    """Give what a Dockerfile has for a server that starts elsewhere than its image said; nothing for others."""
    return f"WORKDIR {folder}\n" if folder else ""
