"""Whose cluster it is: two installations would undo each other's work, so the second one says so and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_operator import cluster, names

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest, Owned

RECHECK: Final = 30.0
"""Seconds between two looks: somebody may apply another installation over this one."""


def owner(binding: Manifest | None) -> str:
    """Give the namespace of the operator to which guards' binding and so the cluster belongs; empty if nobody says."""
    annotations = (binding or {}).get("metadata", {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_OPERATOR_NAMESPACE) or "")


def rival(api: Owned, namespace: str) -> str:
    """Say that the cluster belongs to the operator of another namespace, and what to do; empty if it does not.

    Of two in one namespace only one works: they share the Lease.

    Raises:
        cluster.ClusterError: That cannot be read now.
    """
    other = owner(api.guard_binding())
    if other in ("", namespace):
        return ""
    return (
        f"ClusterRoleBinding {names.GUARD_ROLE} belongs to the mcp-operator in namespace {other}, and a cluster has "
        f"one installation: uninstall one of the two (helm list -A); if {other} is gone, run helm upgrade for this one"
    )


class Alone:
    """Looks from time to time whether this is still the cluster's only installation."""

    def __init__(self, api: Owned, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self.problem = ""
        """What is wrong; empty when nothing is."""

    def reconcile(self, _namespace: str, _name: str, /) -> float | None:
        """Look; give the seconds until the next time."""
        self.problem = rival(self._api, self._namespace)
        return RECHECK


def refusal(api: Owned, namespace: str) -> str:
    """Say at start what :func:`rival` says; nothing while the API server is away, since it is asked again later."""
    try:
        return rival(api, namespace)
    except cluster.ClusterError:
        return ""
