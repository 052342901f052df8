"""What a user's Pod template may not hold, because with it the agent could go around toolman.

Everything else is the namespace's business (its Pod Security Standard, quotas, admission): ``nodeName``, priorities,
service accounts and host ports, for instance, say nothing about which tools are called, and pass.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, NamedTuple

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_SECURITY: dict[str, Any] = {"capabilities": {}, "windowsOptions": {}}
_REFERENCE: dict[str, Any] = {"secretKeyRef": {}, "configMapKeyRef": {}, "fileKeyRef": {}}
_CONTAINER: dict[str, Any] = {
    "securityContext": _SECURITY,
    "volumeMounts": [{}],
    "volumeDevices": [{}],
    "ports": [{}],
    "env": [{"valueFrom": _REFERENCE}],
    "envFrom": [{"secretRef": {}, "configMapRef": {}}],
}
_OBJECTS: dict[str, Any] = {"secret": {}, "configMap": {}}
_VOLUME: dict[str, Any] = {**_OBJECTS, "projected": {"sources": [{**_OBJECTS, "serviceAccountToken": {}}]}}
_SHAPE: dict[str, Any] = {
    "metadata": {"labels": {}, "annotations": {}},
    "spec": {
        "securityContext": _SECURITY,
        "containers": [_CONTAINER],
        "initContainers": [_CONTAINER],
        "volumes": [_VOLUME],
        "imagePullSecrets": [{}],
    },
}
"""Where a template must have objects and lists, so that nothing that is looked for can hide in something else."""

_SHARED_NAMESPACES = {
    "hostNetwork": "the Pod needs a network of its own: toolman listens on its loopback",
    "hostPID": "processes of the node and of the sidecars would be in reach",
    "hostIPC": "memory of other processes would be in reach",
    "shareProcessNamespace": "the processes, files and secrets of the sidecars would be in reach",
}
_LEGACY_PROFILES = ("container.apparmor.security.beta.kubernetes.io", "container.seccomp.security.alpha.kubernetes.io")


class Finding(NamedTuple):
    """What is wrong, and where: ``spec.hostNetwork`` below the template."""

    path: str
    reason: str

    def __str__(self) -> str:
        """Give it as one line for a condition's message."""
        return f"template.{self.path}: {self.reason}"


class Refused(NamedTuple):
    """Names of objects that an agent may not have: Secrets of MCP servers, ConfigMaps that name hidden tools."""

    secrets: frozenset[str] = frozenset()
    config_maps: frozenset[str] = frozenset()

    def has_secret(self, name: object) -> bool:
        """Tell whether a Secret is of a server; the keys of guards always are."""
        return str(name) in self.secrets or str(name).endswith(names.guard_tls_secret(""))


def unsafe(
    template: Mapping[str, Any],
    secrets: Collection[str] = (),
    restart_policy: str = "Always",
    config_maps: Collection[str] = (),
) -> list[Finding]:
    """Find what must be removed from a template before a Pod is made of it.

    Args:
        template: A user's Pod template, as YAML gave it: nothing in it is trusted to be of the right type.
        secrets: Names of the Secrets that the MCP servers get; the agent may not read them.
        restart_policy: The agent's own; a template may say the same or nothing.
        config_maps: Names of ConfigMaps that say what the agent may not know: tools that are hidden from it.
    """
    malformed = list(_malformed(template, _SHAPE, ""))
    if malformed:
        return malformed
    spec = template.get("spec") or {}
    refused = Refused(frozenset(secrets), frozenset(config_maps))
    findings = [*_metadata(template.get("metadata") or {}), *_pod(spec, restart_policy), *_volumes(spec, refused)]
    for key in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(key) or []):
            findings.extend(_container(container, f"spec.{key}[{index}]", refused))
    return findings


def _malformed(node: object, shape: object, path: str) -> Iterator[Finding]:
    if isinstance(node, list) and isinstance(shape, list):
        for index, item in enumerate(node):
            yield from _malformed(False if item is None else item, shape[0], f"{path}[{index}]")
    elif isinstance(node, dict) and isinstance(shape, dict):
        for key, inner in shape.items():
            yield from _malformed(node.get(key), inner, f"{path}.{key}".lstrip("."))
    elif node is not None:
        yield Finding(path, f"must be {'a list' if isinstance(shape, list) else 'an object'}")


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Finding]:
    for kind in ("labels", "annotations"):
        for key in metadata.get(kind) or {}:
            prefix, _, name = str(key).partition("/")
            if prefix == names.GROUP:
                yield Finding(f"metadata.{kind}.{key}", f"{names.GROUP}/ is the operator's own")
            if prefix in _LEGACY_PROFILES and _is_our_container(name):
                yield Finding(f"metadata.{kind}.{key}", "changes the confinement of a sidecar")


def _pod(spec: Mapping[str, Any], restart_policy: str) -> Iterator[Finding]:
    for key, reason in _SHARED_NAMESPACES.items():
        if spec.get(key) not in (None, False):
            yield Finding(f"spec.{key}", reason)
    if spec.get("hostUsers") not in (None, True):
        yield Finding("spec.hostUsers", "a user namespace has no room for the users of the MCP servers")
    if spec.get("ephemeralContainers"):
        yield Finding("spec.ephemeralContainers", "a Pod cannot be made with them; use kubectl debug")
    if spec.get("restartPolicy") not in (None, restart_policy):
        yield Finding("spec.restartPolicy", f"leave it out: the agent's own spec.restartPolicy says {restart_policy}")
    if not spec.get("containers"):
        yield Finding("spec.containers", "needs the agent's container")
    yield from _security(spec.get("securityContext") or {}, "spec.securityContext")


def _security(context: Mapping[str, Any], path: str) -> Iterator[Finding]:
    uid = context.get("runAsUser")
    if isinstance(uid, (int, float)) and _is_our_user(uid):
        reserved = f"{names.TOOLMAN_UID} and {names.SERVER_UID_FIRST} to {names.SERVER_UID_LAST}"
        yield Finding(f"{path}.runAsUser", f"users {reserved} are those of the sidecars; take another")
    if context.get("privileged") not in (None, False):
        yield Finding(f"{path}.privileged", "a privileged container reaches the whole node")
    if context.get("allowPrivilegeEscalation") not in (None, False):
        yield Finding(f"{path}.allowPrivilegeEscalation", "is never allowed beside the sidecars; leave it out")
    if (context.get("capabilities") or {}).get("add"):
        yield Finding(f"{path}.capabilities.add", "none can be added: NET_RAW alone would read the sidecars' traffic")
    if context.get("procMount") not in (None, "Default"):
        yield Finding(f"{path}.procMount", "must be Default")
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield Finding(f"{path}.windowsOptions.hostProcess", "reaches the whole node")


def _volumes(spec: Mapping[str, Any], refused: Refused) -> Iterator[Finding]:
    for index, volume in enumerate(spec.get("volumes") or []):
        path = f"spec.volumes[{index}]"
        if _is_our_volume(volume.get("name")):
            yield Finding(f"{path}.name", f"names that begin with {_prefixes()} are reserved; choose another")
        if volume.get("hostPath") is not None:
            yield Finding(f"{path}.hostPath", "the node's files hold those of the sidecars")
        yield from _object(volume.get("secret"), "secretName", f"{path}.secret", refused)
        yield from _config_map(volume.get("configMap"), f"{path}.configMap", refused)
        yield from _drivers(volume, path, refused)
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or []):
            yield from _projected(source, f"{path}.projected.sources[{number}]", refused)


def _drivers(volume: Mapping[str, Any], path: str, refused: Refused) -> Iterator[Finding]:
    """Find Secrets that a volume's driver would get: ``csi.nodePublishSecretRef``, ``azureFile.secretName``."""
    for kind, options in volume.items():
        if kind in {"secret", "projected"} or not isinstance(options, dict):
            continue
        for key, value in options.items():
            if not key.lower().endswith(("secretref", "secretname")):
                continue
            name = value.get("name") if isinstance(value, dict) else value
            if refused.has_secret(name):
                yield Finding(f"{path}.{kind}.{key}", "is a Secret of an MCP server; give the agent one of its own")


def _projected(source: Mapping[str, Any], path: str, refused: Refused) -> Iterator[Finding]:
    yield from _object(source.get("secret"), "name", f"{path}.secret", refused)
    yield from _config_map(source.get("configMap"), f"{path}.configMap", refused)
    audience = (source.get("serviceAccountToken") or {}).get("audience")
    if names.GROUP in str(audience):
        yield Finding(f"{path}.serviceAccountToken.audience", f"audiences with {names.GROUP} are toolman's own")


def _container(container: Mapping[str, Any], path: str, refused: Refused) -> Iterator[Finding]:
    if _is_our_container(str(container.get("name"))):
        yield Finding(f"{path}.name", "is the name of a sidecar; choose another")
    yield from _mounts(container.get("volumeMounts") or [], "mountPath", f"{path}.volumeMounts")
    yield from _mounts(container.get("volumeDevices") or [], "devicePath", f"{path}.volumeDevices")
    for index, port in enumerate(container.get("ports") or []):
        if port.get("containerPort") in (names.TOOLMAN_PORT, names.ADMIN_PORT):
            yield Finding(f"{path}.ports[{index}].containerPort", "is toolman's; choose another")
    yield from _environment(container, path, refused)
    yield from _security(container.get("securityContext") or {}, f"{path}.securityContext")


def _mounts(mounts: Sequence[Mapping[str, Any]], place: str, path: str) -> Iterator[Finding]:
    for index, mount in enumerate(mounts):
        if _is_our_volume(mount.get("name")):
            yield Finding(f"{path}[{index}].name", "is a volume of the sidecars")
        if _is_below_ours(str(mount.get(place, ""))):
            yield Finding(f"{path}[{index}].{place}", f"{names.INSTALL_PATH} holds mcp-wrapper")


def _environment(container: Mapping[str, Any], path: str, refused: Refused) -> Iterator[Finding]:
    for index, variable in enumerate(container.get("env") or []):
        source, where = variable.get("valueFrom") or {}, f"{path}.env[{index}].valueFrom"
        yield from _object(source.get("secretKeyRef"), "name", f"{where}.secretKeyRef", refused)
        yield from _config_map(source.get("configMapKeyRef"), f"{where}.configMapKeyRef", refused)
        if _is_our_volume((source.get("fileKeyRef") or {}).get("volumeName")):
            yield Finding(f"{where}.fileKeyRef.volumeName", "is a volume of the sidecars")
    for index, source in enumerate(container.get("envFrom") or []):
        yield from _object(source.get("secretRef"), "name", f"{path}.envFrom[{index}].secretRef", refused)
        yield from _config_map(source.get("configMapRef"), f"{path}.envFrom[{index}].configMapRef", refused)


def _object(reference: Mapping[str, Any] | None, key: str, path: str, refused: Refused) -> Iterator[Finding]:
    if refused.has_secret((reference or {}).get(key)):
        yield Finding(f"{path}.{key}", "is a Secret of an MCP server; give the agent one of its own")


def _config_map(reference: Mapping[str, Any] | None, path: str, refused: Refused) -> Iterator[Finding]:
    name = str((reference or {}).get("name", ""))
    if name.endswith(names.config_map("")):
        yield Finding(f"{path}.name", f"ConfigMaps named *{names.config_map('')} hold toolman's configuration")
    if name in refused.config_maps:
        yield Finding(f"{path}.name", "names tools that the agent may not know of")


def _is_our_volume(name: object) -> bool:
    return str(name).startswith(names.RESERVED_VOLUME_PREFIXES)


def _is_our_container(name: str) -> bool:
    return name in names.RESERVED_CONTAINER_NAMES or name.startswith(names.SERVER_CONTAINER_PREFIX)


def _is_below_ours(path: str) -> bool:
    normal = posixpath.normpath("/" + path.lstrip("/"))  # the kubelet takes a relative one from the root, too
    return normal == names.INSTALL_PATH or normal.startswith(names.INSTALL_PATH + "/")


def _is_our_user(uid: float) -> bool:
    return uid == names.TOOLMAN_UID or names.SERVER_UID_FIRST <= uid <= names.SERVER_UID_LAST


def _prefixes() -> str:
    return " or ".join(names.RESERVED_VOLUME_PREFIXES)
