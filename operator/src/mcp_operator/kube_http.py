"""A request to an API server over the connections that the ``kubernetes`` package has set up: their keys, its tokens.

The package's own way from a call to the wire costs more than all else that the operator does for one object: it copies
each body part by part and takes each URL to pieces. Here a request is a line, four headers and bytes.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import urllib3

AGENT: Final = "mcp-operator"
"""As the API server's audit log and metrics name us."""
_BEARER: Final = "BearerToken"
"""What the package calls its one way to say who asks, besides certificates."""


class Connection:
    """Connections to one API server, kept open. Thread-safe.

    Args:
        api: The package's client, configured.
    """

    def __init__(self, api: Any) -> None:  # noqa: ANN401 - the package has no types
        self._api = api

    def send(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: urllib3.Timeout,
        *,
        streaming: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Make one request, once; nothing is followed elsewhere.

        Raises:
            urllib3.exceptions.HTTPError: There is no answer.
            OSError: Likewise.
        """
        pool, prefix = self._pool
        target = f"{prefix}{path}?{urlencode(query)}" if query else prefix + path
        return pool.urlopen(
            method,
            target,
            body=body,
            headers={**headers, "User-Agent": AGENT, **self._authorization()},
            timeout=timeout,
            preload_content=not streaming,
            retries=False,
            redirect=False,
        )

    @functools.cached_property
    def _pool(self) -> tuple[urllib3.HTTPConnectionPool, str]:
        """The connections, and what comes before each path: all of the URL where a proxy speaks plain HTTP."""
        host = str(self._api.configuration.host).rstrip("/")
        manager: urllib3.PoolManager = self._api.rest_client.pool_manager
        parts = urlsplit(host)
        is_forwarded = manager.proxy is not None and parts.scheme == "http"
        return manager.connection_from_url(host), host if is_forwarded else parts.path

    def _authorization(self) -> dict[str, str]:
        """Say who asks; the package replaces tokens that a kubeconfig's programs give for a while only."""
        setting = self._api.configuration.auth_settings().get(_BEARER)
        return {"Authorization": str(setting["value"])} if setting is not None else {}
