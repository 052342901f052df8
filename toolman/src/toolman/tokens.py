"""Random names that nobody can guess; the standard library's ``secrets`` has them and imports a megabyte for more."""

from __future__ import annotations

import base64
import os


def raw(size: int) -> bytes:
    """Give so many random bytes."""
    return os.urandom(size)


def hexadecimal(size: int) -> str:
    """Give so many random bytes as twice as many digits."""
    return os.urandom(size).hex()


def urlsafe(size: int) -> str:
    """Give so many random bytes as letters, digits, ``-`` and ``_``."""
    return base64.urlsafe_b64encode(os.urandom(size)).rstrip(b"=").decode()
