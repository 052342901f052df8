"""The operator's own Secrets: the authority of shared servers, and the key of the tokens for toolmans' reports."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from typing import TYPE_CHECKING, Final

from mcp_operator import certificates, cluster, names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mcp_operator.cluster import Owned

KEY_BYTES: Final = 32


class ReportTokens:
    """A token for each agent and each guard, made from one key: who knows one knows no other.

    Args:
        api: The cluster.
        namespace: The operator's own.
        random: Gives so many random bytes.
    """

    def __init__(self, api: Owned, namespace: str, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._api = api
        self._namespace = namespace
        self._random = random
        self._lock = threading.Lock()
        self._key = b""

    def token(self, uid: str) -> str:
        """Give the token of the toolman of the object with this UID.

        Raises:
            cluster.ClusterError: The key can be neither read nor made.
        """
        return hmac.new(self._known_key(), uid.encode(), hashlib.sha256).hexdigest()

    def digest(self, uid: str) -> str:
        """Give the hash by which a toolman knows its token.

        Raises:
            cluster.ClusterError: The key can be neither read nor made.
        """
        return hashlib.sha256(self.token(uid).encode()).hexdigest()

    def _known_key(self) -> bytes:
        with self._lock:
            if not self._key:
                self._key = self._read() or self._make()
            return self._key

    def _read(self) -> bytes:
        found = self._api.own_secret(self._namespace, names.REPORT_SECRET)
        return b"" if found is None else found.get(names.REPORT_KEY, b"")

    def _make(self) -> bytes:
        made = self._random(KEY_BYTES)
        try:
            self._api.create_own_secret(self._namespace, names.REPORT_SECRET, {names.REPORT_KEY: made})
        except cluster.ConflictError:
            found = self._read()
            if not found:
                text = f"Secret {names.REPORT_SECRET} has no {names.REPORT_KEY}: delete it"
                raise cluster.InvalidError(text) from None
            return found
        return made


class Authority:
    """Who signs the certificates of shared servers.

    Args:
        api: The cluster.
        namespace: The operator's own.
        clock: UTC.
    """

    def __init__(self, api: Owned, namespace: str, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._lock = threading.Lock()

    def current(self) -> Mapping[str, bytes]:
        """Give what the authority's Secret holds, made or renewed where that is due.

        Raises:
            cluster.ClusterError: It can be neither read nor written.
        """
        with self._lock:
            found = self._api.own_secret(self._namespace, names.CA_SECRET)
            stored = dict(found) if found is not None else {}
            wanted = certificates.authority(stored, self._clock())
            if found is None:
                self._api.create_own_secret(self._namespace, names.CA_SECRET, wanted)
            elif wanted != stored:
                self._api.replace_own_secret(self._namespace, names.CA_SECRET, wanted)
            return wanted
