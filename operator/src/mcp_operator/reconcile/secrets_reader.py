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
from mcp_operator.reconcile import references
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Cluster, SecretData
    from mcp_operator.images.contract import RegistryAuth
    from mcp_operator.models.source import Header, KeyRef

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
    data = _secret(api, namespace, name, git_command(namespace, name, url))
    first, second = (_text(namespace, name, data, key) for key in _git_keys(url))
    if _is_ssh(url):
        return GitCredentials(ssh_key=first, known_hosts=second)
    return GitCredentials(username=first, token=second)


def git_command(namespace: str, name: str, url: str, *, is_there: bool = False) -> str:
    """Give the command that makes the Secret for a repository, or that writes the one that is there anew."""
    if is_there:
        return references.set_keys(namespace, "Secret", name, _git_keys(url))
    how = (
        "--type=kubernetes.io/ssh-auth --from-file=ssh-privatekey=KEY --from-file=known_hosts=KNOWN_HOSTS"
        if _is_ssh(url)
        else "--from-literal=username=USER --from-literal=password=TOKEN"
    )
    return f"kubectl create secret generic {name} -n {namespace} {how}"


def _is_ssh(url: str) -> bool:
    return url.startswith("ssh://")


def _git_keys(url: str) -> tuple[str, str]:
    return _SSH if _is_ssh(url) else _TOKEN


def registry(api: Cluster, namespace: str, name: str, repository: str) -> RegistryAuth:
    """Read credentials for a registry from a Secret of type ``kubernetes.io/dockerconfigjson``.

    Raises:
        Waiting: The Secret, or its key, is not there.
        Stalled: It has nothing for this registry, or is no such document.
    """
    host = repository.partition("/")[0]
    command = references.create_pull_secret(namespace, name, host)
    anew = f"Make it anew: kubectl delete secret {name} -n {namespace} && {command}"
    data = _secret(api, namespace, name, command)
    if DOCKER_CONFIG not in data:
        raise _invalid(name, f"it has no key {DOCKER_CONFIG}, so it is none for a registry", anew)
    try:
        found = credentials.from_secret(data[DOCKER_CONFIG], repository)
    except BuildError as error:
        raise _invalid(name, f"{error.message}. {error.hint}", anew) from None
    if found is None:
        raise _invalid(name, f"it has no credentials for {host}", anew)
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
        text = references.add_keys(namespace, "ConfigMap", reference.name, [reference.key])
        raise Waiting(conditions.CONFIG_MAP_MISSING, text, delay=RECHECK)
    return data[reference.key]


def _header(api: Cluster, namespace: str, reference: KeyRef) -> str:
    how = f"{reference.name} -n {namespace} --from-literal={reference.key}=VALUE"
    data = _secret(api, namespace, reference.name, f"kubectl create secret generic {how}")
    value = _text(namespace, reference.name, data, reference.key).strip("\r\n\t ")
    if not value.isascii() or not value.isprintable():
        text = f"key {reference.key} has line breaks or characters that no header has"
        raise _invalid(reference.name, text, _correct(namespace, reference.name, reference.key))
    return value


def _secret(api: Cluster, namespace: str, name: str, command: str) -> SecretData:
    try:
        found = api.secret(namespace, name)
    except ClusterError as error:
        raise _unreadable(error) from None
    if found is None:
        raise Waiting(conditions.SECRET_MISSING, f"Secret {name} is not there: {command}", delay=RECHECK)
    return found


def _text(namespace: str, name: str, data: SecretData, key: str) -> str:
    if key not in data:
        raise Waiting(conditions.SECRET_MISSING, references.add_keys(namespace, "Secret", name, [key]), delay=RECHECK)
    try:
        text = data[key].decode()
    except UnicodeDecodeError:
        text = ""
    if not text.strip() or len(text) > _MAX_VALUE:
        raise _invalid(name, f"key {key} is empty, too long or no text", _correct(namespace, name, key))
    return text


def _invalid(name: str, what: str, remedy: str) -> Stalled:
    return Stalled(conditions.SECRET_INVALID, f"Secret {name} cannot be used: {what}. {remedy}", delay=RECHECK)


def _correct(namespace: str, name: str, key: str) -> str:
    return f"Correct it: {references.set_keys(namespace, 'Secret', name, [key])}"


def _unreadable(error: ClusterError) -> Waiting:
    text = (
        f"{error}. It is tried again by itself; where a right is missing, an admin upgrades the installation's chart."
    )
    return Waiting(conditions.SECRET_UNREADABLE, printable(text), delay=RECHECK)
