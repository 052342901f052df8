"""The bearer token that callers must show, read again whenever its file changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from toolman.protocol.headers import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolman.config import Secret

log = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two looks at the file."""

LABEL = "token"
"""Names in logs whoever has shown it."""

_SCHEME = b"bearer "
_CHALLENGE = b'WWW-Authenticate: Bearer realm="toolman"\r\n'
_MISSING = Refusal(401, "a token is needed: send Authorization: Bearer and the token", _CHALLENGE)
_WRONG = Refusal(401, "the token is not accepted", _CHALLENGE[:-2] + b', error="invalid_token"\r\n')


class Check(Protocol):
    """Looks at the Authorization header."""

    def check(self, authorization: bytes | None) -> Refusal | None:
        """Tell why a caller is not served; None if it is."""


class Hashed:
    """Checks the Authorization header against the hash of a token.

    Args:
        sha256: Of the token, hexadecimal.
    """

    def __init__(self, sha256: str) -> None:
        self._hash = sha256.encode()

    def check(self, authorization: bytes | None) -> Refusal | None:
        """Tell why a caller is not served; None if it is."""
        shown = _shown(authorization)
        if shown is None:
            return _MISSING
        is_it = hmac.compare_digest(hashlib.sha256(shown).hexdigest().encode(), self._hash)
        return None if is_it else _WRONG


class Bearer:
    """Checks the Authorization header. Without a token in the file nobody is served.

    Args:
        secret: Where the token is.
        clock: Seconds, monotonic.
    """

    def __init__(self, secret: Secret, clock: Callable[[], float]) -> None:
        self._path = Path(secret.file)
        self._clock = clock
        self._token = b""
        self._seen: object = None
        self._next_look = 0.0
        self._look()  # a file that cannot be read is known before anybody calls

    def check(self, authorization: bytes | None) -> Refusal | None:
        """Tell why a caller is not served; None if it is. Takes equally long for any two tokens of one length."""
        if self._clock() >= self._next_look:
            self._look()
        shown = _shown(authorization)
        if shown is None:
            return _MISSING
        return None if self._token and hmac.compare_digest(shown, self._token) else _WRONG

    def _look(self) -> None:
        self._next_look = self._clock() + INTERVAL
        try:
            status = self._path.stat()
            seen: object = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            self._token = self._path.read_bytes().strip()
        except OSError as problem:
            seen, self._token = problem.errno, b""
            if seen != self._seen:
                log.error("nobody is served: the token cannot be read from %s: %s", self._path, problem.strerror)  # noqa: TRY400 - no bug
        else:
            if not self._token:
                log.error("nobody is served: there is no token in %s", self._path)
        self._seen = seen


def _shown(authorization: bytes | None) -> bytes | None:
    if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return authorization[len(_SCHEME) :].strip(b" ")
