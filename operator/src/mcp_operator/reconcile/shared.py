"""Servers that agents share: their Deployment and what leads to it, applied, put back, rolled out and taken away."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import msgspec

from mcp_operator import certificates, cluster, conditions, names, server_references
from mcp_operator.manifests import files, guard_config, shared_network
from mcp_operator.manifests import shared as manifests
from mcp_operator.manifests.metadata import digest
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.manifests.shared import Shared
from mcp_operator.models.status import EndpointStatus, ProtocolStatus
from mcp_operator.outcomes import Outcome, Stalled, Waiting
from mcp_operator.own_secrets import Authority, ReportTokens
from mcp_operator.placements import STDIO, placement
from mcp_operator.reconcile import guard_callers, rollouts
from mcp_operator.reconcile.guard_binding import GuardBinding
from mcp_operator.reconcile.owned_objects import OwnedObjects
from mcp_operator.reconcile.references import References
from mcp_operator.reconcile.services import sooner
from mcp_operator.status import printable
from toolman import config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Manifest, OwnedKind
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import ImageStatus, MCPServerStatus
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.progress import Progress
    from mcp_operator.reconcile.services import Services

KINDS: Final[tuple[OwnedKind, ...]] = (
    "Deployment",
    "Service",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "ConfigMap",
    "ServiceAccount",
)
"""What is taken away when a server is not shared any more, in this order; the Secret goes with its Deployment."""
SIZE_LIMIT: Final = 1_000_000
"""Bytes of a guard's configuration: an object in the cluster has room for about a megabyte."""
UNKNOWN: Final = ProtocolStatus(version="", transport=STDIO, server_info="")
"""Of a server that nobody has spoken with."""
RECHECK: Final = 60.0
"""Seconds until an isolated server's way to the API server, and its certificate, are looked at again."""


class SharedServers:
    """Brings what a shared server is made of to what its MCPServer says."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._api = services.api
        self._settings = services.settings
        self._authority = Authority(self._api, self._settings.namespace, services.clock)
        self._tokens = services.tokens or ReportTokens(self._api, self._settings.namespace)
        self._references = References(self._api)
        self._binding = GuardBinding(self._api)
        self._objects = OwnedObjects(self._api)

    def reconcile(self, server: Resource[MCPServerSpec], after: MCPServerStatus) -> Outcome | None:
        """Do what is missing.

        Args:
            server: Which one.
            after: Its status as it will be; gets its endpoint.

        Returns:
            How the Pods are; None where it is not shared, or has nothing in service, and so has no such Pods any more.
        """
        if after.image is None or placement(server.spec, after) != "Shared":
            self._remove(server, after)
            return None
        try:
            return self._carry_out(self._wanted(server, after.image, after.protocol or UNKNOWN), after)
        except (Stalled, Waiting) as problem:
            return problem
        except (cluster.ForbiddenError, cluster.InvalidError) as error:
            remedy = "An admin can raise the quota, right or standard that is named; or correct run.shared.podTemplate."
            return Stalled(conditions.GUARD_FORBIDDEN, printable(f"{error}. {remedy}"), delay=RECHECK)

    def _carry_out(self, wanted: Shared, after: MCPServerStatus) -> Outcome:
        server = wanted.server
        authority = self._authority.current()
        self._objects.put(server, manifests.service_account(server))
        self._binding.include(server.namespace, names.guard(server.name))
        after.endpoint = endpoint(server)
        # First of all who may call: also a server whose Pods cannot be replaced now must learn of who may not any more.
        written = self._write_config(wanted, after)
        pods = self._api.pods_labelled(server.namespace, f"{names.LABEL_SERVER}={server.name}")
        self._wake(pods, digest([written, authority[certificates.CERTIFICATE].decode()]))
        self._objects.put(server, manifests.ca_config_map(server, certificates.bundle(authority)))
        policy = shared_network.network_policy(server, self._api.api_server_addresses(), self._settings.namespace)
        self._objects.put(server, policy)
        self._objects.put(server, manifests.service(server))
        self._budget(server)
        missing = self._references.missing(server.namespace, _given(server.spec))
        if missing is not None:
            return missing
        self._write_files(server)
        deployment = self._objects.put(server, manifests.deployment(wanted, self._settings))
        self._write_certificate(server, authority, deployment["metadata"]["uid"])
        return rollouts.outcome(deployment, pods, self._services.clock())

    def _wanted(self, server: Resource[MCPServerSpec], image: ImageStatus, found: ProtocolStatus) -> Shared:
        """Give the server as it is to run."""
        run = server.spec.run
        contents = tuple(files.contents(run).values())
        return Shared(
            server=server,
            running=RunningServer(
                name=server.name,
                image=image.reference,
                command=tuple(image.command),
                working_dir=image.working_dir,
                run=run,
                pull_secrets=tuple(each.name for each in server_references.of_kubelet(server.spec)),
                inputs=self._references.versions(server.namespace, server_references.of_container(run), contents),
            ),
            transport=run.transport or found.transport,
            port=run.port or found.port or manifests.DEFAULT_PORT,
            path=run.path or found.path or manifests.DEFAULT_PATH,
        )

    def _write_config(self, wanted: Shared, after: MCPServerStatus) -> str:
        server = wanted.server
        stored = self._api.config_map(server.namespace, names.guard(server.name))
        callers = guard_callers.callers(
            self._api,
            server,
            after,
            self._settings.default_access,
            _callers(stored),
            injects=self._settings.webhook_port > 0,
        )
        made = guard_config.guard_config(wanted, callers, self._tokens.digest(server.uid))
        text = config.dumps(made).decode()
        if len(text.encode()) > SIZE_LIMIT:
            problem = (
                f"the guard's configuration has {len(text)} bytes, more than {SIZE_LIMIT}: fewer agents must share it"
            )
            raise Stalled(conditions.CONFIG_TOO_LARGE, problem)
        self._objects.put(server, manifests.config_map(server, text))
        return text

    def _write_files(self, server: Resource[MCPServerSpec]) -> None:
        made = files.config_map(server)
        if made is not None:
            self._objects.put(server, made)

    def _write_certificate(
        self, server: Resource[MCPServerSpec], authority: Mapping[str, bytes], deployment_uid: str
    ) -> None:
        """Write the guard's certificate, which it reads again by itself."""
        found = self._api.secret(server.namespace, names.guard_tls_secret(server.name))
        stored = dict(found) if found is not None else {}
        hosts = names.guard_hosts(server.name, server.namespace)
        pair = certificates.leaf(stored, authority, hosts, self._services.clock())
        values = {certificates.CERTIFICATE: pair.certificate, certificates.KEY: pair.key}
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        secret = manifests.tls_secret(server, data, deployment_uid)
        self._objects.put_secret(server, secret, is_same=stored == values)

    def _budget(self, server: Resource[MCPServerSpec]) -> None:
        if server.spec.run.shared.replicas > 1:
            self._objects.put(server, manifests.disruption_budget(server))
        else:
            self._objects.remove(server, "PodDisruptionBudget", names.guard(server.name))

    def _wake(self, pods: Sequence[Manifest], wanted: str) -> None:
        """Have the kubelet refresh what the guards have mounted, at once."""
        for pod in pods:
            metadata = pod["metadata"]
            known = (metadata.get("annotations") or {}).get(names.ANNOTATION_CONFIG_HASH)
            if known != wanted and "deletionTimestamp" not in metadata:
                annotations = {names.ANNOTATION_CONFIG_HASH: wanted}
                try:
                    self._api.annotate_pod(metadata["namespace"], metadata["name"], metadata["uid"], annotations)
                except (cluster.NotFoundError, cluster.ConflictError):
                    continue  # it is gone, and the next one reads what is written now

    def forget(self, namespace: str, name: str) -> None:
        """Let the guard of a server that is gone ask about tokens no more; all else goes with its MCPServer."""
        self._objects.forget(namespace, names.guard(name))
        self._binding.exclude(namespace, names.guard(name))

    def _remove(self, server: Resource[MCPServerSpec], after: MCPServerStatus) -> None:
        """Take away what a server had while it was shared: what was last written down tells, whatever it is by now."""
        if not (server.status.get("endpoint") or {}).get("audience"):
            return
        for kind in KINDS:
            self._objects.remove(server, kind, names.guard(server.name))
        self._objects.remove(server, "ConfigMap", names.guard_ca_config_map(server.name))
        self._binding.exclude(server.namespace, names.guard(server.name))
        if after.endpoint is not None and after.endpoint.audience is not None:
            after.endpoint = None

    def add(self, server: Resource[MCPServerSpec], after: MCPServerStatus, progress: Progress) -> Progress:
        """Do what is missing, whatever else goes on with a server, and add what it came to."""
        outcome = self.reconcile(server, after)
        if outcome is None:
            return progress
        with_pods = progress.beside(conditions.AVAILABLE, outcome)
        if outcome.reason == conditions.REPLACING_PODS:
            with_pods = with_pods._replace(ready=progress.ready)
        return with_pods._replace(delay=sooner(with_pods.delay, RECHECK))


def endpoint(server: Resource[MCPServerSpec]) -> EndpointStatus:
    """Give where agents' toolman reaches a shared server, whatever the server itself speaks."""
    host = names.guard_hosts(server.name, server.namespace)[0]
    return EndpointStatus(
        url=f"https://{host}:{names.GUARD_PORT}/mcp",
        transport="streamable-http",
        ca_config_map=names.guard_ca_config_map(server.name),
        audience=names.guard_audience(server.uid),
    )


def _given(spec: MCPServerSpec) -> list[server_references.Reference]:
    return [*server_references.of_container(spec.run), *server_references.of_kubelet(spec)]


def _callers(stored: Manifest | None) -> dict[str, config.Caller]:
    """Read the callers that are written down now; none where that cannot be read."""
    text = ((stored or {}).get("data") or {}).get(names.CONFIG_FILE)
    try:
        found = config.loads(text) if text else None
    except msgspec.MsgspecError:
        return {}
    guard = found.guard if found is not None else None
    return {caller.pod: caller for caller in guard.callers} if guard is not None else {}
