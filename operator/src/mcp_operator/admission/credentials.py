"""How the API server reaches the webhooks: their certificate, and what it is told of it. Every replica has its own.

The certificate is signed by the operator's own authority, whose Secret all replicas share, and its key never leaves the
process. The path holds a token that only who may read the webhooks' configurations knows: an API server shows no
credentials of its own by default, and an answer says what an agent's Pod would hold.
"""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from mcp_operator import certificates, names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mcp_operator.certificates import Pair
    from mcp_operator.cluster import Manifest
    from mcp_operator.own_secrets import Authority, ReportTokens

KINDS: Final = ("Mutating", "Validating")
KNOWN: Final = (names.WEBHOOK_INJECT, names.WEBHOOK_KEEP, names.WEBHOOK_WARN)


class Configurations(Protocol):
    """The two configurations, by their one name."""

    def webhooks(self, kind: str) -> Manifest | None:
        """Read the ``Mutating`` or ``Validating`` one; None where an admin has not installed it."""

    def patch_webhooks(self, kind: str, patch: Manifest) -> None:
        """Strategic-merge-patch it."""


class Credentials:
    """The webhooks' certificate and token.

    Args:
        api: Where the configurations are.
        authority: Who signs.
        tokens: From whose key the path's token is made.
        hosts: DNS names under which the API server asks.
        clock: UTC.
    """

    def __init__(
        self,
        api: Configurations,
        authority: Authority,
        tokens: ReportTokens,
        hosts: Sequence[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._authority = authority
        self._tokens = tokens
        self._hosts = hosts
        self._clock = clock
        self._pair: Pair | None = None
        self._bundle = ""

    def renew(self) -> Pair:
        """Give the certificate of now: the same one while it is good.

        Raises:
            cluster.ClusterError: The authority can be neither read nor made.
        """
        signer = self._authority.current()
        had = self._pair
        stored = {certificates.CERTIFICATE: had.certificate, certificates.KEY: had.key} if had is not None else {}
        self._pair = certificates.leaf(stored, signer, self._hosts, self._clock())
        self._bundle = certificates.bundle(signer)
        self._token()  # from now on known without asking
        return self._pair

    def tell(self) -> None:
        """Say in the configurations whom to trust and at which path to ask, where they do not yet.

        Raises:
            cluster.ClusterError: They can be neither read nor changed.
        """
        for kind in KINDS:
            found = self._api.webhooks(kind)
            changes = _changes(found or {}, self._bundle, self._token())
            if changes:
                self._api.patch_webhooks(kind, {"webhooks": changes})

    def webhook(self, path: str) -> str:
        """Name the webhook at a path; empty where there is none.

        Raises:
            cluster.ClusterError: The token cannot be read.
        """
        token = self._token()
        matches = [hmac.compare_digest(path.encode(), names.webhook_path(each, token).encode()) for each in KNOWN]
        return next((webhook for webhook, is_it in zip(KNOWN, matches, strict=True) if is_it), "")

    def _token(self) -> str:
        return self._tokens.token(names.WEBHOOKS)


def _changes(configuration: Mapping[str, Any], bundle: str, token: str) -> list[dict[str, Any]]:
    """Give what is to be changed of the webhooks that we know."""
    trusted = base64.b64encode(bundle.encode()).decode()
    changes = []
    for webhook in configuration.get("webhooks") or []:
        if webhook["name"] not in KNOWN:
            continue
        current = webhook["clientConfig"]
        wanted = _client(current, names.webhook_path(webhook["name"], token), trusted)
        if {**current, **wanted} != current:
            changes.append({"name": webhook["name"], "clientConfig": wanted})
    return changes


def _client(current: Mapping[str, Any], path: str, trusted: str) -> dict[str, Any]:
    if current.get("url"):
        url = urlsplit(str(current["url"]))._replace(path=path).geturl()
        return {"url": url, "caBundle": trusted}
    return {"service": {**(current.get("service") or {}), "path": path}, "caBundle": trusted}
