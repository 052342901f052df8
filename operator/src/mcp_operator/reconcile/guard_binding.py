"""Who may ask the Kubernetes API whose a token is: the accounts of guards, in one ClusterRoleBinding of an admin's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from mcp_operator import conditions, names
from mcp_operator.cluster import SERVER
from mcp_operator.outcomes import Stalled

if TYPE_CHECKING:
    from mcp_operator.cluster import Cluster

RECHECK: Final = 60.0


class GuardBinding:
    """Keeps the subjects of the binding. Of two that write at the same time one comes again: its write is refused."""

    def __init__(self, api: Cluster) -> None:
        self._api = api
        self._lock = threading.Lock()

    def include(self, namespace: str, account: str) -> None:
        """Have an account among them.

        Raises:
            Stalled: There is no binding.
        """
        with self._lock:
            raw = self._api.guard_binding()
            if raw is None:
                text = (
                    f"ClusterRoleBinding {names.GUARD_ROLE} is not there: without it no guard can check tokens. "
                    "It comes with the chart; upgrade the release"
                )
                raise Stalled(conditions.GUARD_UNBOUND, text, delay=RECHECK)
            subjects = list(raw.get("subjects") or [])
            wanted = _subject(namespace, account)
            if not any(_is(each, wanted) for each in subjects):
                self._api.patch_guard_binding(raw, [*self._alive(subjects), wanted])

    def exclude(self, namespace: str, account: str) -> None:
        """Have an account not among them."""
        with self._lock:
            raw = self._api.guard_binding()
            subjects = list((raw or {}).get("subjects") or [])
            kept = [each for each in subjects if not _is(each, _subject(namespace, account))]
            if raw is not None and kept != subjects:
                self._api.patch_guard_binding(raw, kept)

    def tidy(self) -> None:
        """Leave out accounts of servers that went while no operator ran."""
        with self._lock:
            raw = self._api.guard_binding()
            subjects = list((raw or {}).get("subjects") or [])
            if raw is not None and subjects and (kept := self._alive(subjects)) != subjects:
                self._api.patch_guard_binding(raw, kept)

    def _alive(self, subjects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out accounts of servers that went while nobody looked: somebody else might make one of that name."""
        servers = [raw["metadata"] for raw in self._api.list(SERVER)]
        known = {(metadata["namespace"], names.guard(metadata["name"])) for metadata in servers}
        return [each for each in subjects if (each.get("namespace"), each.get("name")) in known]


def _subject(namespace: str, account: str) -> dict[str, Any]:
    return {"kind": "ServiceAccount", "name": account, "namespace": namespace}


def _is(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())
