"""Objects that belong to an MCPServer: written where they differ, put back where somebody changed them.

Applying leaves what others add. Where that would count, in a Deployment or a NetworkPolicy, the object is replaced when
its generation says that somebody has touched it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp_operator import cluster, conditions, names
from mcp_operator.manifests.metadata import digest
from mcp_operator.outcomes import Stalled, Waiting

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest, Owned, OwnedKind
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource

_Place = tuple[str, str, str]
"""Kind, namespace and name."""

EXACT: Final = frozenset({"Deployment", "NetworkPolicy"})
"""Kinds in which also what others have added would count."""
RECHECK: Final = 30.0
"""Seconds until what has one of our names is looked at again: no event of ours tells."""


class OwnedObjects:
    """Writes them."""

    def __init__(self, api: Owned) -> None:
        self._api = api
        self._replaced: dict[_Place, tuple[str, str, int]] = {}

    def put(self, server: Resource[MCPServerSpec], wanted: Manifest) -> Manifest:
        """Have an object be there as wanted; give it as it is stored.

        Raises:
            Stalled: One that is not ours has its name.
            Waiting: That of an earlier server of this name is still there.
        """
        metadata = wanted["metadata"]
        current = self._api.owned(wanted["kind"], metadata["namespace"], metadata["name"])
        if current is None:
            return self._note(wanted, self._api.apply_owned(wanted))
        _check_owner(server, current, wanted["kind"])
        if wanted["kind"] in EXACT:
            if self._replaced.get(_place(current)) == _made(wanted, current):
                return current
            return self._note(wanted, self._api.replace_owned(current, wanted))
        return current if covers(current, wanted) else self._api.apply_owned(wanted)

    def put_secret(self, server: Resource[MCPServerSpec], wanted: Manifest, *, is_same: bool) -> None:
        """Have a Secret be there as wanted, which is read without its values.

        Args:
            server: Whose.
            wanted: With its values.
            is_same: Whether it has these values.

        Raises:
            Stalled: One that is not ours has its name.
        """
        metadata = wanted["metadata"]
        current = self._api.owned("Secret", metadata["namespace"], metadata["name"])
        if current is not None and (current["metadata"].get("labels") or {}).get(names.LABEL_SERVER) != server.name:
            raise _taken("Secret", metadata["name"])
        if current is None or not is_same or not covers(current["metadata"], metadata):
            self._api.apply_owned(wanted)

    def remove(self, server: Resource[MCPServerSpec], kind: OwnedKind, name: str) -> None:
        """Have an object not be there, if it is this server's."""
        current = self._api.owned(kind, server.namespace, name)
        if current is not None and cluster.controller(current).get("uid") == server.uid:
            self._replaced.pop(_place(current), None)
            self._api.delete_owned(kind, server.namespace, name, current["metadata"]["uid"])

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is known of the objects of a name, which are gone."""
        for kind in EXACT:
            self._replaced.pop((kind, namespace, name), None)

    def _note(self, wanted: Manifest, stored: Manifest) -> Manifest:
        if wanted["kind"] in EXACT:
            self._replaced[_place(stored)] = _made(wanted, stored)
        return stored


def covers(current: object, wanted: object) -> bool:
    """Tell whether an object has everything that is wanted, whatever it has besides; lists must be as wanted."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(
            key in current and covers(current[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        is_alike = isinstance(current, list) and len(current) == len(wanted)
        return is_alike and all(covers(*pair) for pair in zip(_listed(current), wanted, strict=True))
    return current == wanted


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _check_owner(server: Resource[MCPServerSpec], current: Manifest, kind: str) -> None:
    owner = cluster.controller(current)
    if owner.get("uid") == server.uid:
        return
    name = current["metadata"]["name"]
    if owner.get("kind") == cluster.SERVER.kind and owner.get("name") == server.name:
        raise Waiting(
            conditions.ROLLING_OUT, f"{kind} {name} of an earlier MCPServer of this name is still being deleted"
        )
    raise _taken(kind, name)


def _taken(kind: str, name: str) -> Stalled:
    text = f"{kind} {name} exists and is not this MCPServer's: delete it, or rename the MCPServer"
    return Stalled(conditions.GUARD_NAME_TAKEN, text, delay=RECHECK)


def _place(stored: Manifest) -> _Place:
    return stored["kind"], stored["metadata"]["namespace"], stored["metadata"]["name"]


def _made(wanted: Manifest, stored: Manifest) -> tuple[str, str, int]:
    """Say what an object was made from, and which one it is as long as nobody touches it."""
    return digest(wanted), stored["metadata"]["uid"], stored["metadata"]["generation"]
