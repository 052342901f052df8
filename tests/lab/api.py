"""The few requests that the lab itself makes to the API server."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from lab.errors import LabError

if TYPE_CHECKING:
    from lab.layout import Layout

ANSWER_SECONDS = 5.0
CONFLICT = 409


class Api:
    """A client with the admin's certificate."""

    def __init__(self, layout: Layout) -> None:
        authority = layout.authority
        self._server = layout.server
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.load_cert_chain(authority.folder / "admin.crt", authority.folder / "admin.key")
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def __repr__(self) -> str:
        return f"Api({self._server!r})"

    def ready(self) -> bool:
        """Say whether the API server is ready."""
        return self.get("/readyz") is not None

    def get(self, path: str) -> str | None:
        """Give the answer to a request, or None if there is none yet."""
        try:
            with self._opener.open(self._server + path, timeout=ANSWER_SECONDS) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def node_condition(self, node: str) -> tuple[str, str] | None:
        """Give the status (``True``, ...) of a node's Ready condition and the time of its last sign of life."""
        text = self.get(f"/api/v1/nodes/{node}")
        conditions: list[dict[str, Any]] = json.loads(text)["status"].get("conditions", []) if text else []
        found = [condition for condition in conditions if condition["type"] == "Ready"]
        return (found[0]["status"], found[0].get("lastHeartbeatTime") or "") if found else None

    def create(self, path: str, body: dict[str, Any]) -> None:
        """Create an object that may be there already.

        Raises:
            LabError: The API server refused it.
        """
        request = urllib.request.Request(  # noqa: S310 - https
            self._server + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            self._opener.open(request, timeout=ANSWER_SECONDS).close()
        except urllib.error.HTTPError as error:
            if error.code != CONFLICT:
                raise LabError(f"the API server refused {path}: {error.read().decode()[:300]}") from None
