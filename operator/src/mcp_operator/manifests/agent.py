"""The user's own containers in the agent's Pod: as written, with the wrapper, where toolman is, and hardening."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests import security
from mcp_wrapper import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - where client libraries look
TOKEN_SECONDS = 3607
"""What Kubernetes itself asks for."""

_URL = {"name": environment.URL_VARIABLE, "value": names.TOOLMAN_URL}
_UID = {"name": environment.UID_VARIABLE, "value": str(names.TOOLMAN_UID)}
WRAPPER_VARIABLES = (_URL, _UID)
"""Where toolman is, and as whom it must listen there: a sidecar that takes its port while it restarts gets nothing."""
LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])([:/?]|$)", re.IGNORECASE)
"""How a URL of something in the same Pod begins."""

_WRAPPER_MOUNT = {"name": names.INSTALL_VOLUME, "mountPath": names.INSTALL_PATH, "readOnly": True}
_NAME_MOUNTS = [
    {
        "name": names.INSTALL_VOLUME,
        "mountPath": f"{names.SYSTEM_PATH}/{file}",
        "subPath": f"{names.SYSTEM_PATH.strip('/')}/{file}",
        "readOnly": True,
    }
    for file in names.NAME_FILES
]
OUR_MOUNTS = (_WRAPPER_MOUNT, *_NAME_MOUNTS)
"""Of the user's containers, besides the token."""
_TOKEN_MOUNT = {"name": names.TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": True}


def container(written: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Give one of the user's containers as it goes into the Pod.

    Args:
        written: The container as the user wrote it.
        spec: The user's whole Pod spec.
    """
    variables = written.get("env") or []
    mounts = written.get("volumeMounts") or []
    contexts = (written.get("securityContext") or {}, spec.get("securityContext") or {})
    meaning = _names(mounts) if security.may_be_root(*contexts) else []
    token = [_TOKEN_MOUNT] if wants_token(spec) and all(m.get("mountPath") != TOKEN_PATH for m in mounts) else []
    return {
        **written,
        "env": [*variables, *_wrapper_variables(variables)],
        "volumeMounts": [*mounts, _WRAPPER_MOUNT, *meaning, *token],
        "securityContext": security.hardened(*contexts),
    }


def wants_token(spec: Mapping[str, Any]) -> bool:
    """Tell whether the user asks for the service account's token."""
    return spec.get("automountServiceAccountToken") is True


def volumes(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the volumes of the user's containers, with the token if it is asked for.

    Kubernetes would mount the token into every container of the Pod, the MCP servers' too; so we mount the same
    volume ourselves, into the user's containers only.
    """
    return [*(spec.get("volumes") or []), *([_token()] if wants_token(spec) else [])]


def _names(mounts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give the mounts of what names mean, but where the user has something there himself.

    Otherwise all containers of the Pod have the same files, which are root's: an agent could lead servers and toolman
    to where it listens itself, and get what they send there without TLS.
    """
    taken = {posixpath.normpath(str(mount.get("mountPath"))) for mount in mounts}
    return [mount for mount in _NAME_MOUNTS if mount["mountPath"] not in taken]


def _wrapper_variables(variables: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    given = {variable.get("name"): variable.get("value") for variable in variables}
    url = given.get(environment.URL_VARIABLE)
    # The user's own URL of something outside of the Pod: nobody on this machine listens there.
    elsewhere = isinstance(url, str) and not LOOPBACK.match(url)
    return [each for each in WRAPPER_VARIABLES if each["name"] not in given and not (elsewhere and each is _UID)]


def _token() -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": names.TOKEN_VOLUME,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
        },
    }
