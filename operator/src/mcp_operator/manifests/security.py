"""Security contexts: strict for our own containers, filled in where absent for the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = 0


def ours(uid: int) -> dict[str, Any]:
    """Give the context of a container of ours: it passes the ``restricted`` Pod Security Standard by itself."""
    return {
        "runAsUser": uid,
        # A user that the image does not know would otherwise get the group root.
        "runAsGroup": uid,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def hardened(container: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    """Give the context of a user's container.

    No privilege escalation and no capabilities, always. A seccomp profile and ``runAsNonRoot`` only where neither the
    container nor the Pod says anything, and the latter not for a user who asked for root: where that is not wanted,
    the namespace's Pod Security Standard refuses it.

    Args:
        container: The container's own securityContext.
        pod: The Pod's, which holds where the container's is silent.
    """
    both = {**_said(pod), **_said(container)}
    filled = {**container, "allowPrivilegeEscalation": False}
    filled["capabilities"] = {**(container.get("capabilities") or {}), "drop": ["ALL"]}
    if "seccompProfile" not in both:
        filled["seccompProfile"] = {"type": "RuntimeDefault"}
    if "runAsNonRoot" not in both and both.get("runAsUser") != ROOT:
        filled["runAsNonRoot"] = True
    return filled


def may_be_root(container: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Tell whether a user's container, hardened, can run as root; arguments as for :func:`hardened`."""
    both = {**_said(pod), **_said(container)}
    return both.get("runAsUser", ROOT if both.get("runAsNonRoot") is False else None) == ROOT


def _said(context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in context.items() if value is not None}
