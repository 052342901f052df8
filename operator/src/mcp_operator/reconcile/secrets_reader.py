"""What the operator itself needs of Secrets: credentials for git, for registries, for remote servers.

Read when they are used and kept by nobody. What is missing or does not fit is told by Secret and key, with the command
that makes it; a value is in no text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_operator import conditions
from mcp_operator.cluster import ClusterError
from mcp_operator.images import credentials
from mcp_operator.images.contract import BuildError, GitCredentials
from mcp_operator.outcomes import Stalled, Waiting
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Cluster, SecretData
    from mcp_operator.images.contract import RegistryAuth
    from mcp_operator.models.server import Header, KeyRef

RECHECK: Final = 30.0
"""Seconds until a Secret that is missing or does not fit is looked at again: nothing tells of it."""
DOCKER_CONFIG: Final = ".dockerconfigjson"
_MAX_VALUE: Final = 64 * 1024
_SSH: Final = ("ssh-privatekey", "known_hosts")
_TOKEN: Final = ("username", "password")


def git(api: Cluster, namespace: str, name: str, url: str) -> GitCredentials:
    """Read credentials for a repository: a key for ``ssh://``, else user name and password or token.

    Raises:
        Waiting: The Secret, or a key of it, is not there.
        Stalled: A value is no text.
    """
    is_ssh = url.startswith("ssh://")
    keys = _SSH if is_ssh else _TOKEN
    how = (
        "--type=kubernetes.io/ssh-auth --from-file=ssh-privatekey=KEY --from-file=known_hosts=KNOWN_HOSTS"
        if is_ssh
        else "--from-literal=username=USER --from-literal=password=TOKEN"
    )
    data = _secret(api, namespace, name, f"generic {name} {how}")
    first, second = (_text(namespace, name, data, key) for key in keys)
    if is_ssh:
        return GitCredentials(ssh_key=first, known_hosts=second)
    return GitCredentials(username=first, token=second)


def registry(api: Cluster, namespace: str, name: str, repository: str) -> RegistryAuth:
    """Read credentials for a registry from a Secret of type ``kubernetes.io/dockerconfigjson``.

    Raises:
        Waiting: The Secret, or its key, is not there.
        Stalled: It has nothing for this registry, or is no such document.
    """
    host = repository.partition("/")[0]
    how = f"docker-registry {name} --docker-server={host} --docker-username=USER --docker-password=PASSWORD"
    data = _secret(api, namespace, name, how)
    if DOCKER_CONFIG not in data:
        raise _missing_key(namespace, name, DOCKER_CONFIG)
    try:
        found = credentials.from_secret(data[DOCKER_CONFIG], repository)
    except BuildError as error:
        raise _invalid(namespace, name, f"{error.message}. {error.hint}") from None
    if found is None:
        raise _invalid(namespace, name, f"it has no credentials for {host}")
    return found


def headers(api: Cluster, namespace: str, wanted: Sequence[Header]) -> dict[str, str]:
    """Read the values of headers.

    Raises:
        Waiting: A Secret, or a key of it, is not there.
        Stalled: A value is not one that a header can have.
    """
    return {header.name: _header(api, namespace, header.value_from.secret_key_ref) for header in wanted}


def authorities(api: Cluster, namespace: str, reference: KeyRef) -> str:
    """Read PEM certificates from a ConfigMap.

    Raises:
        Waiting: It, or its key, is not there.
    """
    try:
        found = api.config_map(namespace, reference.name)
    except ClusterError as error:
        raise _unreadable(error) from None
    if found is None:
        text = f"ConfigMap {reference.name} is not there: kubectl create configmap {reference.name} -n {namespace}"
        raise Waiting(
            conditions.CONFIG_MAP_MISSING, f"{text} --from-file={reference.key}=CERTIFICATES.pem", delay=RECHECK
        )
    data: Mapping[str, str] = found.get("data") or {}
    if reference.key not in data:
        text = f"ConfigMap {reference.name} has no key {reference.key}"
        raise Waiting(
            conditions.CONFIG_MAP_MISSING,
            f"{text}: kubectl edit configmap {reference.name} -n {namespace}",
            delay=RECHECK,
        )
    return data[reference.key]


def _header(api: Cluster, namespace: str, reference: KeyRef) -> str:
    how = f"generic {reference.name} --from-literal={reference.key}=VALUE"
    data = _secret(api, namespace, reference.name, how)
    value = _text(namespace, reference.name, data, reference.key).strip("\r\n\t ")
    if not value.isascii() or not value.isprintable():
        raise _invalid(
            namespace, reference.name, f"key {reference.key} has line breaks or characters that no header has"
        )
    return value


def _secret(api: Cluster, namespace: str, name: str, how: str) -> SecretData:
    try:
        found = api.secret(namespace, name)
    except ClusterError as error:
        raise _unreadable(error) from None
    if found is None:
        text = f"Secret {name} is not there: kubectl create secret -n {namespace} {how}"
        raise Waiting(conditions.SECRET_MISSING, text, delay=RECHECK)
    return found


def _text(namespace: str, name: str, data: SecretData, key: str) -> str:
    if key not in data:
        raise _missing_key(namespace, name, key)
    try:
        text = data[key].decode()
    except UnicodeDecodeError:
        text = ""
    if not text.strip() or len(text) > _MAX_VALUE:
        raise _invalid(namespace, name, f"key {key} is empty, too long or no text")
    return text


def _missing_key(namespace: str, name: str, key: str) -> Waiting:
    text = f"Secret {name} has no key {key}: kubectl edit secret {name} -n {namespace}"
    return Waiting(conditions.SECRET_MISSING, text, delay=RECHECK)


def _invalid(namespace: str, name: str, what: str) -> Stalled:
    text = f"Secret {name} cannot be used: {what}. Correct it: kubectl edit secret {name} -n {namespace}"
    return Stalled(conditions.SECRET_INVALID, text, delay=RECHECK)


def _unreadable(error: ClusterError) -> Waiting:
    return Waiting(conditions.SECRET_UNREADABLE, printable(str(error)), delay=RECHECK)
