"""Names for images: templates filled in and made fit for a registry, the same way every time. Pure.

The grammar is that of the OCI distribution specification: a tag has at most 128 characters of ``[A-Za-z0-9_.-]`` and
starts with a letter, digit or underscore; a repository is of lower case, its parts joined by single separators.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

MAX_TAG = 128
MAX_REPOSITORY = 255
"""Characters with the registry's host; what Docker accepts."""
COMMIT_DIGITS = 12
"""Of a commit in a tag: as short as people write them, as long as they are unique."""

WORDS = {"version": "v{version}", "timestamp": "{timestamp}", "commit": "{commit}"}
"""Short forms for templates."""

_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?\Z")
_FIELD = re.compile(r"\{([A-Za-z]*)\}")
_HASH_DIGITS = 8


class TagError(ValueError):
    """A template or a repository's name cannot be used; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What templates may name. What is empty is not known.

    Attributes:
        version: Of the project.
        commit: What was built.
        timestamp: When.
        deployment_id: Of the MCPServer.
    """

    version: str
    commit: str
    timestamp: datetime
    deployment_id: str

    def values(self) -> dict[str, str]:
        """Give the value of each field of a template."""
        return {
            "version": re.sub(r"\Av(?=\d)", "", self.version),
            "commit": self.commit[:COMMIT_DIGITS] if re.fullmatch(r"[0-9a-f]{40}", self.commit) else self.commit,
            "timestamp": f"{self.timestamp:%Y%m%d-%H%M%S}",
            "deploymentId": self.deployment_id,
        }


@dataclass(frozen=True, kw_only=True)
class Name:
    """An image's name."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def names(templates: Iterable[str], repository: str, facts: Facts) -> tuple[tuple[Name, ...], tuple[str, ...]]:
    """Fill in templates; give the names, each once, and a warning for each template that cannot be filled in.

    Args:
        templates: ``latest``, ``v{version}``, ``{timestamp}``, ``{commit}``, any text with these and
            ``{deploymentId}``, or one of :data:`WORDS`. ``NAME:TAG`` is a tag of a repository beside the given one.
        repository: Without tag.
        facts: What to fill in.

    Raises:
        TagError: A template has an unknown field or nothing that a tag may have.
    """
    values = facts.values()
    found: dict[Name, None] = {}
    warnings = []
    for given in templates:
        template = WORDS.get(given, given)
        check(template)
        absent = [field for field in _FIELD.findall(template) if not values[field]]
        if absent:
            warnings.append(f"the tag {template} is left out: nothing is known of its {absent[0]}")
            continue
        filled = _FIELD.sub(lambda match: values[match[1]], template)
        beside, colon, tag = filled.rpartition(":")
        place = f"{_parent(repository)}{part(beside)}" if colon else repository
        found[Name(repository=place, tag=safe(tag))] = None
    return tuple(found), tuple(warnings)


def check(template: str) -> None:
    """Refuse a template that can never be filled in.

    Raises:
        TagError: The text says why.
    """
    template = WORDS.get(template, template)
    known = {"version", "commit", "timestamp", "deploymentId"}
    unknown = [field for field in _FIELD.findall(template) if field not in known]
    if unknown:
        listed = ", ".join(f"{{{name}}}" for name in sorted(known))
        raise TagError(f"the tag {template!r} has an unknown field {{{unknown[0]}}}; there are {listed}")
    if "/" in template or template.count(":") > 1 or re.search(r"[{}]", _FIELD.sub("", template)):
        raise TagError(f"the tag {template!r} is neither TAG nor NAME:TAG")
    for piece in template.split(":"):
        if not re.search(r"[A-Za-z0-9]", piece):
            raise TagError(f"the tag {template!r} has no letter and no digit")


def safe(text: str) -> str:
    """Make a tag of any text: each run of characters that no tag has becomes ``-``; what is too long ends in a hash."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).lstrip(".-").rstrip("-") or "_"
    return _bounded(plain, text, MAX_TAG)


def part(text: str) -> str:
    """Make one part of a repository's name of any text: as :func:`safe`, in lower case."""
    lower = re.sub(r"[^a-z0-9_.-]+", "-", text.lower())
    # Runs of separators are not all allowed: a dash stands for any that is not alone.
    plain = re.sub(r"[_.-]{2,}", "-", lower).strip("._-") or "x"
    return _bounded(plain, text, MAX_TAG)


def check_repository(repository: str) -> None:
    """Refuse what is not the name of a repository.

    Raises:
        TagError: The text says why.
    """
    host, slash, rest = repository.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        if not _HOST.match(host):
            raise TagError(f"{host!r} is not a registry: HOST or HOST:PORT")
        path = rest
    else:
        path = repository
    wrong = [piece for piece in path.split("/") if not _PART.match(piece)]
    if wrong or len(repository) > MAX_REPOSITORY:
        what = f"the part {wrong[0]!r}" if wrong else "its length"
        raise TagError(
            f"{repository!r} is not the name of a repository because of {what}: lower-case letters, digits and single "
            f"separators . _ - between, {MAX_REPOSITORY} characters at most, and no tag"
        )


def _bounded(plain: str, text: str, limit: int) -> str:
    if len(plain) <= limit:
        return plain
    # Cut-off names of different things would be the same.
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_HASH_DIGITS]
    return f"{plain[: limit - _HASH_DIGITS - 1].rstrip('._-')}-{digest}"


def _parent(repository: str) -> str:
    above, slash, _ = repository.rpartition("/")
    return f"{above}{slash}"
