"""Every string that names something in the cluster, in a Pod or in a registry. Nowhere else is one put together."""

from __future__ import annotations

GROUP = "toolman.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "toolman"

SERVERS = "mcpservers"
AGENTS = "mcpagents"
POLICIES = "toolpolicies"

DEFAULT_ACCESS_LAYER = "Installation/defaultAccess"
"""Named, as a policy is, where an installation denies what no policy allows."""

FIELD_MANAGER = "mcp-operator"
LEASE = "mcp-operator"

# --- labels and annotations
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "mcp-operator"
LABEL_AGENT = f"{GROUP}/agent"
LABEL_UID = f"{GROUP}/uid"
"""On images, containers and temporary folders: the UID of the MCPServer for which they were made."""
LABEL_INSTALLATION = f"{GROUP}/installation"
"""Beside the UID: which of the operators that share a Docker Engine made it."""
LABEL_DEPLOYMENT = f"{GROUP}/deployment-id"
"""On images: the MCPServer, readably."""
LABEL_TOOLS = f"{GROUP}/tools"
"""On images: the names of the tools that the handshake saw, as JSON."""
LABEL_RESULT = f"{GROUP}/result"
"""On images: what the build found, as JSON, so that the same input need not be built again. See :func:`result_part`."""
LABEL_KEY = f"{GROUP}/build-key"
"""On images: hash of everything that they and their verification depend on."""
ANNOTATION_POD_HASH = f"{GROUP}/pod-hash"
"""What the Pod was made from: another hash means that the Pod must be made again."""
ANNOTATION_CONFIG_HASH = f"{GROUP}/config-hash"
"""Hash of toolman's configuration. Changing it wakes the kubelet, which then refreshes the mounted file at once."""

ANNOTATION_RECONCILE = f"{GROUP}/reconcile"
"""Set by people on an MCPServer: any new value has everything looked up now and a failed build tried again."""
ANNOTATION_APPROVE = f"{GROUP}/approve"
"""Set by people on an MCPServer: the hash of tools that may go into service where `tools.changes` is `Manual`."""

ANNOTATION_SERVER_IMAGES = f"{GROUP}/server-images"
"""The images that the Pod's servers were last given, as JSON by server: they can change without another Pod."""
ANNOTATION_UPSTREAMS = f"{GROUP}/upstreams"
"""Hashes of the volumes for servers outside of the Pod, as JSON by server."""
ANNOTATION_IN_PLACE = f"{GROUP}/in-place"
"""When images were last changed in place, and which containers ran before that, as JSON."""
ANNOTATION_RUN = f"{GROUP}/run"
"""Of which run to completion a Pod is: a hash of the agent's spec."""
ANNOTATION_INJECTED = f"{GROUP}/injected"
"""On Pods of other workloads that were given an agent's sidecars: the UID of the MCPAgent."""

# --- inside an agent's Pod
INSTALL_CONTAINER = "mcp-install"
TOOLMAN_CONTAINER = "toolman"
AWAIT_CONTAINER = "await-tools"
SERVER_CONTAINER_PREFIX = "mcp-server-"

INSTALL_VOLUME = "mcp"
CONFIG_VOLUME = "toolman-config"
PIPES_VOLUME_PREFIX = "mcp-pipes-"
TEMPORARY_VOLUME_PREFIX = "mcp-tmp-"
FILES_VOLUME_PREFIX = "mcp-files-"
UPSTREAM_VOLUME_PREFIX = "toolman-up-"
TOKEN_VOLUME = "mcp-token"  # noqa: S105 - the name of a volume
"""A service account's token, for an agent that asks for one."""
RESERVED_VOLUME_PREFIXES = ("mcp", "toolman")
RESERVED_CONTAINER_NAMES = (INSTALL_CONTAINER, TOOLMAN_CONTAINER, AWAIT_CONTAINER)

INSTALL_PATH = "/mcp"
WRAPPER_PATH = f"{INSTALL_PATH}/bin/mcp-wrapper"
BUSYBOX_PATH = f"{INSTALL_PATH}/bin/busybox"
SPAWNER_PATH = f"{INSTALL_PATH}/lib/spawner.sh"
SYSTEM_PATH = "/etc"
NAME_FILES = ("hosts", "resolv.conf")
"""What names mean, in every container; mcp-install keeps both below its folder's ``etc``."""
CONFIG_PATH = "/etc/toolman"
CONFIG_FILE = "toolman.json"
PIPES_PATH = "/run/mcp"
"""In toolman one folder a server below it; in a server's container its own folder is mounted here, read-only."""
UPSTREAMS_PATH = "/run/toolman/upstreams"
"""In toolman: below it, one folder a server outside of the Pod with its headers, authorities and token."""
CA_FILE = "ca.crt"
UPSTREAM_TOKEN_FILE = "token"  # noqa: S105 - the name of a file
SERVER_HOME = "/tmp"  # noqa: S108 - an emptyDir of that container alone

TOOLMAN_PORT = 3000
ADMIN_PORT = 9464
TOOLMAN_URL = f"http://127.0.0.1:{TOOLMAN_PORT}/mcp"

TOOLMAN_UID = 2_000_000_999
"""Of our own containers in an agent's Pod. Not an image's usual user: agents may not run as this one."""
SERVER_UID_FIRST = 2_000_001_000
SERVER_UID_LAST = 2_000_001_999
"""Servers run under users of this range, one each, so that toolman can tell them from an agent. Agents may not."""

IMAGE_UID = 1001
"""User ``mcp`` of the images that we build."""


def server_container(server: str) -> str:
    """Name the container of a server in an agent's Pod."""
    return SERVER_CONTAINER_PREFIX + server


def pipes_volume(server: str) -> str:
    """Name the volume that joins toolman and one server."""
    return PIPES_VOLUME_PREFIX + server


def temporary_volume(owner: str) -> str:
    """Name the volume for the temporary files of one of our containers."""
    return TEMPORARY_VOLUME_PREFIX + owner


def files_volume(server: str) -> str:
    """Name the volume with the files that a server's owner gives it."""
    return FILES_VOLUME_PREFIX + server


def files_config_map(server: str) -> str:
    """Name the ConfigMap with the files whose content is in the MCPServer itself."""
    return f"{server}-files"


def upstream_volume(server: str) -> str:
    """Name the volume with what toolman needs to reach a server outside of the Pod."""
    return UPSTREAM_VOLUME_PREFIX + server


def upstream_directory(server: str) -> str:
    """Give the folder, in toolman's container, with what it needs to reach a server outside of the Pod."""
    return f"{UPSTREAMS_PATH}/{server}"


def header_file(index: int) -> str:
    """Name the file of the ``index``-th header of a remote server."""
    return f"header-{index}"


def restarting_reference(image: str, inputs: str) -> str:
    """Name the same image in other words, one for each state of a server's inputs.

    A digest decides which image it is, so the tag is free: where it changes, the kubelet starts the container anew.

    Args:
        image: Reference by digest; one without is left alone.
        inputs: Hexadecimal digits; without any the reference is left alone.
    """
    repository, at, digest = image.partition("@")
    if not (inputs and at):
        return image
    host, slash, path = repository.rpartition("/")
    return f"{host}{slash}{path.partition(':')[0]}:r-{inputs}@{digest}"


def pipes_directory(server: str) -> str:
    """Give the folder, in toolman's container, of a server's pipes."""
    return f"{PIPES_PATH}/{server}"


def server_uid(index: int) -> int:
    """Give the user ID of the ``index``-th server of a Pod."""
    return SERVER_UID_FIRST + index


# --- shared servers, and what comes back from toolman
LABEL_SERVER = f"{GROUP}/server"
"""On what a shared server is made of: its MCPServer."""
CA_SECRET = "mcp-operator-ca"  # noqa: S105 - the name of a Secret
"""In the operator's own namespace: the authority of shared servers' certificates."""
REPORT_SECRET = "mcp-operator-report"  # noqa: S105 - the name of a Secret
"""In the operator's own namespace: the key of the tokens with which toolmans are asked for their reports."""
REPORT_KEY = "key"
GUARD_ROLE = "mcp-operator-guard"
"""The ClusterRole that lets guards ask whose a token is, and its binding. The chart makes both."""
ANNOTATION_OPERATOR_NAMESPACE = f"{GROUP}/operator-namespace"
"""On that binding, of which a cluster has one: where the operator is to which the cluster belongs."""
GUARD_PORT = 8443
GUARD_CONTAINER = "mcp-guard"
GUARD_TLS_VOLUME = "toolman-tls"
GUARD_TLS_PATH = "/etc/toolman-tls"
GUARD_ACCOUNT_VOLUME = "toolman-account"
GUARD_ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"

# --- what the API server asks the operator before it stores something
WEBHOOKS = "mcp-operator-webhooks"
"""The MutatingWebhookConfiguration and the ValidatingWebhookConfiguration. The chart makes both."""
WEBHOOK_INJECT = f"inject.{GROUP}"
WEBHOOK_KEEP = f"keep.{GROUP}"
WEBHOOK_WARN = f"warn.{GROUP}"


def webhook_path(webhook: str, token: str) -> str:
    """Give the path at which a webhook is served: who does not know the token finds nothing."""
    return f"/{token}/{webhook.partition('.')[0]}"


def guard(server: str) -> str:
    """Name what guards a shared server: its Deployment, Service, ServiceAccount, ConfigMap and policies."""
    return f"{server}-guard"


def guard_tls_secret(server: str) -> str:
    """Name the Secret with a shared server's certificate."""
    return f"{server}-guard-tls"


def guard_ca_config_map(server: str) -> str:
    """Name the ConfigMap with the authorities that agents are to trust for a shared server."""
    return f"{server}-guard-ca"


def guard_hosts(server: str, namespace: str) -> tuple[str, ...]:
    """Give the names under which a shared server is reached; the first is the one that agents get."""
    return tuple(f"{guard(server)}.{namespace}.{end}" for end in ("svc", "svc.cluster.local"))


def guard_audience(uid: str) -> str:
    """Give the audience of tokens for a shared server."""
    return f"{GROUP}/mcpserver/{uid}"


def config_map(agent: str) -> str:
    """Name the ConfigMap with toolman's configuration for an agent."""
    return f"{agent}-toolman"


def manifest_config_map(server: str) -> str:
    """Name the ConfigMap with all tools of a server."""
    return f"{server}-manifest"


def pod(agent: str) -> str:
    """Name an agent's Pod. The agent's own name: so there are never two of them."""
    return agent


def repository(registry: str, prefix: str, namespace: str, server: str) -> str:
    """Name the image repository of a server, without a tag."""
    return "/".join(part for part in (registry, prefix, namespace, server) if part)


def image_tag(commit: str, key: str) -> str:
    """Tag an image by what it was built from: another key never takes the tag from an image that is in service."""
    return f"{commit[:12]}-{key[:8]}"


def result_part(number: int) -> str:
    """Name the label with a part of what the build found: it may be too long for one. The first is number 1."""
    return LABEL_RESULT if number == 1 else f"{LABEL_RESULT}-{number}"


def deployment_id(namespace: str, name: str, uid: str) -> str:
    """Name one MCPServer object for image labels and logs: telling it from an earlier one of the same name."""
    return f"{namespace}-{name}-{uid[:8]}"
