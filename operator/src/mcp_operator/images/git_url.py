"""Check a repository's URL before git sees it, and replace it by a mirror's. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

_AUTHORITY = re.compile(r"([A-Za-z0-9._~+-]+@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
"""User, host and port. No percent-encoding: git decodes all of it, and only then looks for the host."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What the user gave, what is really asked, and the only protocol that may be used for it."""

    original: str
    url: str
    protocol: str


def remote(url: str, protocols: Sequence[str], mirrors: Sequence[str]) -> Remote:
    """Check a URL.

    Args:
        url: As the user gave it.
        protocols: Those that are allowed.
        mirrors: ``PREFIX=MIRROR`` pairs; the longest prefix wins. Mirrors are the admin's, of whatever protocol.

    Raises:
        BuildError: ``InvalidSource`` or ``ProtocolNotAllowed``.
    """
    if url.startswith("-") or not url.isprintable() or " " in url:
        raise invalid("the URL has characters that no URL has", "Give an https:// URL.")
    scheme = _scheme(url)
    if scheme not in protocols:
        raise BuildError(
            Reason.PROTOCOL_NOT_ALLOWED,
            f"protocol {scheme or 'none'} of {redact.line(url)} is not allowed",
            step=Step.FETCH,
            hint=f"Use one of: {', '.join(protocols)}. An admin allows more with TOOLMAN_GIT_PROTOCOLS.",
        )
    _check_authority(url)
    asked = _mirrored(url, mirrors)
    return Remote(original=url, url=asked, protocol=_scheme(asked))


def invalid(message: str, hint: str) -> BuildError:
    """Make the error for a source that cannot be meant."""
    return BuildError(Reason.INVALID_SOURCE, message, step=Step.FETCH, hint=hint)


def _scheme(url: str) -> str:
    # Not urlsplit: it has another opinion than git about "ext::sh" and "host:path".
    match = re.match(r"([a-z][a-z0-9+.-]*)://", url)
    return match[1] if match else ""


def _check_authority(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port = -1
    if port == -1:
        raise invalid(f"{redact.line(url)} is not a URL", "Give an https:// URL.")
    if parts.password or (parts.username and parts.scheme != "ssh"):
        raise invalid("the URL has credentials in it", "Remove them: what is in a URL ends up in logs.")
    if parts.scheme == "file":
        return
    # A host or user that starts with a dash would be an option of ssh.
    if not parts.hostname or parts.netloc.startswith("-") or "@-" in parts.netloc:
        raise invalid(f"{redact.line(url)} has no host", "Give an https:// URL.")
    # git would find another host in it than whoever compares names, such as a policy.
    if not _AUTHORITY.fullmatch(parts.netloc):
        raise invalid(f"{redact.line(url)} has no plain host", "Give user and host without encodings and brackets.")


def _mirrored(url: str, mirrors: Sequence[str]) -> str:
    pairs = [(prefix, mirror) for prefix, _, mirror in (text.partition("=") for text in mirrors)]
    for prefix, mirror in sorted(pairs, key=lambda pair: -len(pair[0])):
        if prefix and url.startswith(prefix):
            return mirror + url.removeprefix(prefix)
    return url
