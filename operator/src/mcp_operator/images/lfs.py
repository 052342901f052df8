"""Fetch the files that a repository keeps in Git LFS, in the place of what git has of them.

Only the basic transfer over http(s), at the repository's own URL: what its ``.lfsconfig`` says is not followed, since a
stranger wrote it. Source: github.com/git-lfs/git-lfs, ``docs/api/batch.md`` and ``docs/spec.md``.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.download import Client, NotFoundError
from mcp_operator.images.git_auth import DEFAULT_USER
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import GitCredentials

SMALL = range(100, 1024)
"""Bytes of a file that stands for one of Git LFS."""
BATCH = 100
"""Files that are asked for at a time."""

_MEDIA = "application/vnd.git-lfs+json"
_START = b"version https://git-lfs.github.com/spec/v1\n"
_POINTER = re.compile(rb"\A%b(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n\Z" % re.escape(_START))
_MAX_ANSWER = 4 * 1024 * 1024
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WITHOUT = "Build without spec.source.git.lfs."


@dataclass(frozen=True)
class Pointer:
    """What git has of a file.

    Attributes:
        file: Where it is.
        name: For people: its path in the repository.
        oid: SHA-256 of the content, 64 hex digits.
        size: Bytes of the content.
    """

    file: Path
    name: str
    oid: str
    size: int


def pointer(file: Path | None, name: str) -> Pointer | None:
    """Read a file of :data:`SMALL` size; None if it is not one that stands for another, or not in its tree at all."""
    if file is None or not file.is_file():
        return None
    match = _POINTER.match(file.read_bytes())
    return Pointer(file, name, match[1].decode(), int(match[2])) if match else None


def fetch(
    pointers: Sequence[Pointer], url: str, credentials: GitCredentials | None, ca_file: str, budget: Budget
) -> None:
    """Put the content in the place of its pointers.

    Args:
        pointers: What to fetch; their sizes are accepted.
        url: Of the repository, as it is really asked.
        credentials: For its host, and given to no other.
        ca_file: Certificate authorities besides the system's; may be empty.
        budget: When to stop.

    Raises:
        BuildError: It cannot be had, or is something else.
        BuildCancelled: The budget says so.
    """
    if not url.startswith(("https://", "http://")):
        raise _failed("Git LFS is fetched over https only", f"Give the repository's https:// URL. {_WITHOUT}")
    client, own = Client(url, ca_file, budget), _authorization(credentials)
    try:
        for number in range(0, len(pointers), BATCH):
            wanted = pointers[number : number + BATCH]
            places = _places(client, url, own, wanted)
            for each in wanted:
                _save(client, each, places.get(each.oid), own, url)
    except BuildError as error:
        error.message = f"Git LFS: {error.message}"
        error.args = (error.message,)
        if error.reason == Reason.AUTHENTICATION_REQUIRED:
            error.hint = "Give credentials that may read the repository's files in Git LFS."
        raise


class _Place(NamedTuple):
    """Where the content of a file is, and the headers to ask for it with."""

    url: str
    headers: Mapping[str, str]


def _places(client: Client, url: str, own: Mapping[str, str], wanted: Sequence[Pointer]) -> dict[str, _Place]:
    """Ask where the content is; give it by the hash of the content."""
    objects = [{"oid": each.oid, "size": each.size} for each in wanted]
    asked = json.dumps({"operation": "download", "transfers": ["basic"], "objects": objects}).encode()
    place = f"{url.rstrip('/').removesuffix('.git')}.git/info/lfs/objects/batch"
    try:
        answer = client.post(place, asked, _MAX_ANSWER, {"Accept": _MEDIA, "Content-Type": _MEDIA, **own})
    except NotFoundError:
        raise _failed("the repository's server has none", _WITHOUT) from None
    try:
        return {oid: found for oid, found in map(_read, json.loads(answer)["objects"]) if found}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _failed("the answer of the repository's server cannot be read", _WITHOUT) from None


def _read(entry: Mapping[str, Any]) -> tuple[str, _Place | None]:
    """Read where one file's content is; None if the server has none."""
    action = (entry.get("actions") or {}).get("download")
    if not action:
        return entry["oid"], None
    url, headers = action["href"], action.get("header") or {}
    if not urlsplit(url).hostname or not _PRINTABLE.fullmatch(url):
        raise ValueError(url)
    if not all(_NAME.fullmatch(name) and _PRINTABLE.fullmatch(value) for name, value in headers.items()):
        raise ValueError(headers)
    return entry["oid"], _Place(url, headers)


def _save(client: Client, wanted: Pointer, place: _Place | None, own: Mapping[str, str], url: str) -> None:
    shown = redact.line(wanted.name)
    if place is None:
        raise _failed(f"the repository's server has no content of {shown}", "Push it: `git lfs push --all REMOTE`.")
    headers = place.headers or (own if _origin(place.url) == _origin(url) else {})
    try:
        with wanted.file.open("wb") as target:
            client.save(place.url, wanted.size, target, f"sha256={wanted.oid}", headers)
    except NotFoundError:
        raise _failed(f"the content of {shown} is not where the server says", "Ask its admin.") from None


def _authorization(credentials: GitCredentials | None) -> dict[str, str]:
    if credentials is None or not credentials.token:
        return {}
    pair = f"{credentials.username or DEFAULT_USER}:{credentials.token}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _failed(message: str, hint: str) -> BuildError:
    return BuildError(Reason.FETCH_FAILED, message, step=Step.FETCH, hint=hint)
