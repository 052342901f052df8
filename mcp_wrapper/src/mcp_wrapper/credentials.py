"""The bearer token for toolman, read again whenever its file changes: Kubernetes renews projected tokens in place."""

from __future__ import annotations

import os

MAX_TOKEN_BYTES = 64 * 1024


class CredentialsError(Exception):
    """The token cannot be used; the text never holds it."""


class TokenFile:
    """A file with one token; an empty path is no token.

    Attributes:
        path: Of the file.
    """

    __slots__ = ("_header", "_seen", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._header = b""

    def header(self) -> bytes:
        """Give the Authorization header with its line end, or nothing.

        Raises:
            CredentialsError: The file cannot be read or holds no token.
        """
        if not self.path:
            return b""
        try:
            status = os.stat(self.path)
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                self._header = self._read()
                self._seen = seen
        except OSError as error:
            raise CredentialsError(f"{self.path}: {error.strerror}") from None
        return self._header

    def _read(self) -> bytes:
        with open(self.path, "rb") as file:
            token = file.read(MAX_TOKEN_BYTES).strip()
        text = token.decode("latin-1")
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise CredentialsError(f"{self.path} must hold one token and nothing else")
        return b"Authorization: Bearer %b\r\n" % token
