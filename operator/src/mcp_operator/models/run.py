"""How an MCPServer's container runs: what it is started with and given, and where it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from mcp_operator.models.base import Model, ServerRequest, cel, keyed, unique, untouched
from mcp_operator.models.source import ConfigMapName, KeyRef, SecretName

_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_MARKS = {
    **_TEXTS,
    "maxProperties": 64,
    **cel(("self.all(key, !key.startsWith('toolman.dev/'))", "toolman.dev/ is the operator's own")),
}
_OPEN_LIST = {"type": "array", "maxItems": 64, "items": _OPEN}
SHARED_TEMPLATE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "metadata": {
            "type": "object",
            "description": "Labels and annotations of the Pods.",
            "properties": {
                "labels": _MARKS | {"description": "Labels of the Pods."},
                "annotations": _MARKS | {"description": "Annotations of the Pods."},
            },
        },
        "spec": {
            "type": "object",
            "description": "Scheduling of the Pods, as in a Pod.",
            "properties": {
                "nodeSelector": _TEXTS | {"description": "As in a Pod."},
                "tolerations": _OPEN_LIST | {"description": "As in a Pod."},
                "affinity": _OPEN | {"description": "As in a Pod."},
                "topologySpreadConstraints": _OPEN_LIST | {"description": "As in a Pod."},
                "priorityClassName": {"type": "string", "maxLength": 253, "description": "As in a Pod."},
                "runtimeClassName": {"type": "string", "maxLength": 253, "description": "As in a Pod."},
            },
        },
    },
}
"""What may be said of the Pods of a shared server: where they run, never what is in them."""

CPU = r"^[0-9]+(\.[0-9]+)?m?$"
MEMORY = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|k|M|G)?$"


class ValueFrom(Model):
    """Exactly one."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.secretKeyRef) != has(self.configMapKeyRef)", "give one of secretKeyRef and configMapKeyRef"),
        ),
    )

    secret_key_ref: KeyRef | None = None
    """A key of a Secret of the same namespace. An agent's template that mounts the same Secret is refused."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap of the same namespace."""


class EnvVar(Model):
    """A variable of the server's container; the agent's container never gets it."""

    model_config = ConfigDict(
        json_schema_extra=cel(("!(has(self.value) && has(self.valueFrom))", "give one of value and valueFrom")),
    )

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=32768)] | None = None
    """Its value, taken literally."""
    value_from: ValueFrom | None = None
    """Where its value is: exactly one of these."""


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _quantity(pattern: str) -> WithJsonSchema:
    """A number or a text, as in a Pod: ``cpu: 1`` is how most people write it."""
    return WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 32, "pattern": pattern})


class ResourceList(Model):
    """Quantities as Kubernetes writes them."""

    cpu: (
        Annotated[
            str,
            BeforeValidator(_text),
            StringConstraints(pattern=CPU, max_length=32),
            _quantity(CPU),
        ]
        | None
    ) = None
    """Cores, such as `1` or `250m`."""
    memory: (
        Annotated[
            str,
            BeforeValidator(_text),
            StringConstraints(pattern=MEMORY, max_length=32),
            _quantity(MEMORY),
        ]
        | None
    ) = None
    """Bytes, such as `512Mi`."""


def _at_most(resource: str) -> tuple[str, str]:
    request, limit = f"self.requests.{resource}", f"self.limits.{resource}"
    return (
        f"!has({request}) || !has({limit}) || quantity(string({request})).compareTo(quantity(string({limit}))) <= 0",
        f"requests.{resource} must not be more than limits.{resource}",
    )


class Resources(Model):
    """Requests and limits of the server's container."""

    model_config = ConfigDict(json_schema_extra=cel(_at_most("cpu"), _at_most("memory")))

    requests: ResourceList = ResourceList(cpu="10m", memory="64Mi")
    """What the scheduler keeps free for it."""
    limits: ResourceList = ResourceList(memory="512Mi")
    """What it may use at most."""


class EnvFrom(Model):
    """All keys of a Secret or ConfigMap as variables: exactly one of these."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.secretRef) != has(self.configMapRef)", "give one of secretRef and configMapRef")
        ),
    )

    prefix: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)] | None = None
    """Put before each key."""
    secret_ref: SecretName | None = None
    """A Secret of the same namespace."""
    config_map_ref: ConfigMapName | None = None
    """A ConfigMap of the same namespace."""


class FileMount(Model):
    """A file in the server's container, from a Secret or ConfigMap, or literally: exactly one of these."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "[has(self.content), has(self.secretKeyRef), has(self.configMapKeyRef)].filter(x, x).size() == 1",
                "give one of content, secretKeyRef and configMapKeyRef",
            ),
            (
                "!self.path.contains('//') && !self.path.split('/').exists(part, part == '..' || part == '.')",
                "path must have no '..', '.' or '//'",
            ),
            (
                "!(self.path in ['/tmp', '/run']) && ['/mcp/', '/run/mcp/'].all(m, !(self.path + '/').startsWith(m))",
                "path must not be /tmp, /run, or at or below /mcp or /run/mcp: the operator mounts folders there",
            ),
        ),
    )

    path: Annotated[str, Field(pattern=r"^/[^\x00-\x1f]+[^/\x00-\x1f]$", max_length=512)]
    """Where it is in the container, absolute."""
    content: Annotated[str, Field(max_length=65536)] | None = None
    """Its content, taken literally; not for secrets."""
    secret_key_ref: KeyRef | None = None
    """A key of a Secret of the same namespace."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap of the same namespace."""


class Shared(Model):
    """How a server runs that has Pods of its own, for all agents of the namespace."""

    replicas: Annotated[int, Field(ge=0, le=50)] = 1
    """How many Pods."""
    network: Literal["Isolated", "Open"] = "Isolated"
    """`Isolated`: the server reaches only the cluster's DNS, where the network plugin enforces NetworkPolicies."""
    sessions: Literal["Shared", "PerSession"] = "Shared"
    """Of a server that speaks stdio: whether all agents use one process in each Pod, or each session has its own."""
    pod_template: Annotated[dict[str, Any], WithJsonSchema(SHARED_TEMPLATE)] | None = None
    """Scheduling and labels of its Pods: what the outline allows; the containers are ours."""


_HAS_ITS_PODS = "self.?placement.orValue('') == 'Shared' || self.?transport.orValue('stdio') != 'stdio'"


class Run(Model):
    """How the server is run."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.transport) || self.transport == 'stdio' || self.?placement.orValue('') != 'Sidecar'",
                "a server that speaks HTTP is always Shared: in an agent's Pod its port could be called around toolman",
            ),
            (
                "self.?transport.orValue('') != 'stdio' || (!has(self.port) && !has(self.path))",
                "port and path are for a server that speaks HTTP",
            ),
            (
                f"{_HAS_ITS_PODS} || ({untouched(Shared(), 'self.shared')})",
                "shared is for a server with Pods of its own: say placement: Shared, too",
            ),
            (
                "self.shared.sessions == 'Shared' || self.?transport.orValue('stdio') == 'stdio'",
                "sessions: PerSession is for a server that speaks stdio: over HTTP it keeps its sessions apart itself",
            ),
        ),
    )

    transport: Literal["stdio", "streamable-http", "sse"] | None = None
    """How the server is spoken to; default: what the handshake found."""
    args: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=64)] = []
    """Arguments after the start command, taken literally."""
    env: Annotated[list[EnvVar], Field(max_length=64, json_schema_extra=keyed("name"))] = []
    """Environment of the server's container. While an image is tried out, placeholders stand for Secrets' values."""
    env_from: Annotated[list[EnvFrom], Field(max_length=16)] = []
    """Whole Secrets and ConfigMaps as environment of the server's container."""
    files: Annotated[list[FileMount], Field(max_length=32, json_schema_extra=keyed("path"))] = []
    """Files in the server's container.

    They are not there while an image is tried out: a server that does not start without one needs `build.verify: None`.
    """
    resources: Resources = Resources()
    """Requests and limits of the server's container."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Where a server that speaks HTTP listens; default: what the handshake found."""
    path: Annotated[str, Field(pattern=r"^/[!-~]*$", max_length=512)] | None = None
    """Path of its endpoint; default: what the handshake found."""
    image_pull_secrets: Annotated[list[SecretName], Field(max_length=8, json_schema_extra=keyed("name"))] = []
    """Secrets with which the kubelet pulls the server's image."""
    placement: Literal["Sidecar", "Shared"] | None = None
    """`Sidecar`: a container in each agent's Pod, the default for stdio. `Shared`: Pods of its own, always for HTTP."""
    shared: Shared = Shared()
    """For `placement: Shared`, which has to be said beside it."""
    server_requests: Annotated[list[ServerRequest], Field(max_length=3, json_schema_extra=unique())] = ["elicitation"]
    """What the server may ask of agents in the middle of a call."""
