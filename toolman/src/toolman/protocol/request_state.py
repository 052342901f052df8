"""``requestState`` of toolman's own: names a call that is held while its client is asked for input.

What comes back is hostile: it is signed, bound to who asked for what, and expires. That it works once is for whoever
holds the calls. Source: modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr, *Server requirements*.
Pure: key and clock are arguments.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw


class StateError(Exception):
    """The state is not one to go on from; the text says what to do and can be shown to the client."""


class Sealer:
    """Signs and checks states.

    Args:
        key: Secret, of 32 bytes or more; states of another key are not valid.
        clock: Seconds since the epoch.
    """

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock

    def seal(self, number: int, binding: bytes, lifetime: float) -> str:
        """Make the state for a held call.

        Args:
            number: Of the call.
            binding: What it is bound to, from :func:`binding`.
            lifetime: Seconds for which it is valid.
        """
        head = f"{number}.{int(self._clock() + lifetime)}"
        return f"{head}.{self._sign(head, binding)}"

    def open(self, state: str, binding: bytes) -> int:
        """Give the number of the call that a state names.

        Raises:
            StateError: Not made here, made for another request, or too old.
        """
        head, _, signature = state.rpartition(".")
        if not hmac.compare_digest(self._sign(head, binding).encode(), signature.encode("utf-8", "replace")):
            raise StateError("requestState is not one that was given out for this request")
        number, _, expires = head.partition(".")
        if self._clock() > int(expires):
            raise StateError("requestState is too old: send the request again without it")
        return int(number)

    def _sign(self, head: str, binding: bytes) -> str:
        digest = hmac.digest(self._key, head.encode("utf-8", "replace") + b"\0" + binding, "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def binding(principal: str, method: str, name: str, arguments: bytes | Raw | None) -> bytes:
    """Digest what a state is bound to: the values of the arguments, however they are spelt.

    Args:
        principal: Who asks.
        method: What for.
        name: Of the tool, the prompt or the resource.
        arguments: Raw JSON, None if absent.

    Raises:
        Malformed: The arguments cannot be read.
    """
    try:
        value = json.loads(bytes(arguments or b"null"))
        text = json.dumps([principal, method, name, value], sort_keys=True)
    except (ValueError, RecursionError):
        raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, '"arguments" cannot be read') from None
    return hashlib.sha256(text.encode()).digest()
