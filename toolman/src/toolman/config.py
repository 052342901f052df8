"""The configuration file: what toolman reads and the operator writes.

The operator builds a :class:`Config` and dumps it, so a change here that it does not follow fails at type check.
Unknown keys are errors: a misspelt rule must not silently allow something. How a file is read is
:mod:`toolman.configfile`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from toolman.manifest import Tool
from toolman.policy import Layer, Seconds

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
ServerName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")]

Naming = Literal["prefixed", "plain"]
"""How agents see a tool: ``server__tool``, or the server's own name (two servers with the same name then collide)."""

Sharing = Literal["shared", "perSession"]
"""Whether all clients use one connection to a server, or each session of a client has one of its own."""

ServerRequest = Literal["elicitation", "sampling", "roots"]
"""What a server may ask of a client."""


class ConfigError(Exception):
    """The configuration cannot be used; the text says where and what to do."""


class _Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True
):
    """Base of every section."""


class Secret(_Strict, frozen=True):
    """A text in a file of its own, such as a token; never logged.

    Attributes:
        file: Its path; read again when the file changes.
    """

    file: str


class Token(_Strict, frozen=True):
    """A bearer token that callers must show: one of these.

    Attributes:
        file: Path of a file that holds it; read again when the file changes.
        sha256: Its hash, 64 hexadecimal digits: then nobody who reads the configuration knows it.
    """

    file: str | None = None
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")] | None = None


class Certificate(_Strict, frozen=True):
    """What TLS is served with.

    Attributes:
        certificate: Path of a PEM file with the certificate and those above it.
        key: Path of a PEM file with its key.
    """

    certificate: str
    key: str


class Listen(_Strict, frozen=True):
    """Where agents connect.

    Attributes:
        loopback: Bind 127.0.0.1 and, where the machine has it, ::1, and nothing else. Otherwise ``host``.
        host: Address to bind when not ``loopback``.
        port: TCP port.
        path: Of the endpoint for all servers; each server has one of its own below it, by its name.
        allowed_hosts: Host header names accepted besides localhost and the bound address (DNS rebinding).
        allowed_origins: Origin header values accepted besides those of localhost.
        token: Bearer token that callers must show; without, none is asked for.
        refuse_uids: Callers with these user IDs are not served: MCP servers of the same Pod are not agents. Only with
            ``loopback``.
        tls: Serve https.
        max_body: Bytes of one request's body.
        max_connections: Open at a time; more are answered with 503.
    """

    loopback: bool = True
    host: str = "0.0.0.0"  # noqa: S104 - the container image's default; a sidecar's configuration says loopback
    port: Port = 3000
    path: Annotated[str, msgspec.Meta(pattern=r"\A(/[A-Za-z0-9._~-]+)+\Z")] = "/mcp"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    token: Secret | None = None
    refuse_uids: tuple[int, ...] = ()
    tls: Certificate | None = None
    max_body: Annotated[int, msgspec.Meta(ge=1024)] = 4 * 1024 * 1024
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 1024


class Admin(_Strict, frozen=True):
    """Where the kubelet asks ``/livez`` and ``/readyz``, Prometheus ``/metrics`` and the operator ``/report``.

    An agent can reach this port: without the token nothing names a tool that is hidden, and ``/report`` is not served.

    Attributes:
        host: Address to bind.
        port: TCP port.
        token: Bearer token for ``/report``.
    """

    host: str = "0.0.0.0"  # noqa: S104 - the kubelet asks from outside the Pod
    port: Port = 9464
    token: Token | None = None


class Process(_Strict, frozen=True, tag_field="kind", tag="process"):
    """A child process that speaks MCP over stdio.

    Attributes:
        command: The program and its arguments; no shell reads them.
        env: Added to toolman's own environment.
    """

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    env: dict[str, str] = {}


class Pipes(_Strict, frozen=True, tag_field="kind", tag="pipes"):
    """A container of the same Pod, joined by named pipes.

    Attributes:
        directory: Where toolman makes them.
    """

    directory: str


Reach = Literal["any", "elsewhere", "public"]


class Http(_Strict, frozen=True, tag_field="kind", tag="http"):
    """A server that speaks streamable HTTP.

    Attributes:
        url: ``http://`` or ``https://``, of its endpoint.
        headers: Sent with every request: a text, or a file that holds it.
        token: Sent as ``Authorization: Bearer``; instead of that header.
        ca: PEM file of the authorities to trust instead of the system's.
        reach: Where its host may be: anywhere; not on this machine, its link or at a cloud's metadata; in the Internet.
    """

    url: str
    headers: dict[str, str | Secret] = {}
    token: Secret | None = None
    ca: str | None = None
    reach: Reach = "any"


class Sse(_Strict, frozen=True, tag_field="kind", tag="sse"):
    """A server that speaks the HTTP+SSE transport of 2024-11-05.

    Attributes:
        url: ``http://`` or ``https://``, of its event stream.
        headers: Sent with every request: a text, or a file that holds it.
        token: Sent as ``Authorization: Bearer``; instead of that header.
        ca: PEM file of the authorities to trust instead of the system's.
        reach: Where its host may be: anywhere; not on this machine, its link or at a cloud's metadata; in the Internet.
    """

    url: str
    headers: dict[str, str | Secret] = {}
    token: Secret | None = None
    ca: str | None = None
    reach: Reach = "any"


class Docker(_Strict, frozen=True, tag_field="kind", tag="docker"):
    """A sandbox: a container of its own for every session of a client, speaking over its stdio.

    Attributes:
        image: Reference of the image, which is there or can be pulled.
        command: Instead of the image's own.
        env: Of the container.
        network: Docker network mode or network.
        memory: Bytes.
        pids: Processes and threads.
        cpus: Of one core.
        user: ``uid`` or ``uid:gid`` instead of the image's own.
        tmpfs: Bytes of ``/tmp``, the only place that can be written to; 0 for none.
        labels: Besides toolman's own.
    """

    image: str
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    network: str = "none"
    memory: Annotated[int, msgspec.Meta(ge=6 * 1024 * 1024)] = 512 * 1024 * 1024
    pids: Annotated[int, msgspec.Meta(ge=1)] = 128
    cpus: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    user: str | None = None
    tmpfs: Annotated[int, msgspec.Meta(ge=0)] = 64 * 1024 * 1024
    labels: dict[str, str] = {}


Upstream = Process | Pipes | Http | Sse | Docker


class Timeouts(_Strict, frozen=True):
    """Seconds.

    Attributes:
        start: From starting the server to its answer to the handshake and the lists.
        idle: Silence after which one call is answered with an error; progress resets it.
    """

    start: Seconds = 60.0
    idle: Seconds = 300.0


class Server(_Strict, frozen=True):
    """One MCP server and how to reach it.

    Attributes:
        name: Prefix of its tools, and of its own endpoint's path.
        upstream: How to reach it.
        sessions: Whether clients share one connection to it; sandboxes (``kind: docker``) are never shared.
        timeouts: How long is waited for it.
        manifest: Its tools as they were when it was verified, None if that is not known.
        pin: What happens to a tool that differs from the manifest: ``enforce`` hides it, ``audit`` reports it.
        server_requests: What it may ask of clients; the layers can narrow it.
        max_message: Bytes of one message from it; more and it is ended.
    """

    name: ServerName
    upstream: Upstream
    sessions: Sharing = "shared"
    timeouts: Timeouts = Timeouts()
    manifest: tuple[Tool, ...] | None = None
    pin: Literal["enforce", "audit", "off"] = "enforce"
    server_requests: tuple[ServerRequest, ...] = ("elicitation",)
    max_message: Annotated[int, msgspec.Meta(ge=64 * 1024, le=1024 * 1024 * 1024)] = 16 * 1024 * 1024

    @property
    def is_shared(self) -> bool:
        """Whether all clients use one connection to it."""
        return self.sessions == "shared" and not isinstance(self.upstream, Docker)


class AuditLog(_Strict, frozen=True):
    """The audit log: where it goes; arguments of calls never do.

    Attributes:
        sink: ``stdout``, ``none``, or the path of a file that is appended to.
        arguments: Only ``none``: their values may be secrets.
    """

    sink: Annotated[str, msgspec.Meta(pattern=r"\A(stdout|none|.*/.+)\Z")] = "stdout"
    arguments: Literal["none"] = "none"


class SessionStore(_Strict, frozen=True):
    """The sessions of clients.

    Attributes:
        store: ``memory``, or ``redis://host:port/db``: then sessions survive toolman and are known to several.
        password: Of Redis.
        ttl: Seconds without use after which a session ends.
    """

    store: Annotated[str, msgspec.Meta(pattern=r"\A(memory|rediss?://.+)\Z")] = "memory"
    password: Secret | None = None
    ttl: Seconds = 1800.0


class Reviewer(_Strict, frozen=True):
    """The Kubernetes API that says whose a token is.

    Attributes:
        url: Of its TokenReviews.
        token: What toolman itself shows there.
        ca: PEM file of the authorities to trust.
    """

    url: str = "https://kubernetes.default.svc/apis/authentication.k8s.io/v1/tokenreviews"
    token: Secret = Secret(file="/var/run/secrets/kubernetes.io/serviceaccount/token")
    ca: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"


class Caller(_Strict, frozen=True):
    """One Pod that may call.

    Attributes:
        pod: Its UID.
        name: Names it in the audit log.
        layers: What it may use, asked after the layers for all callers; nothing without any.
    """

    pod: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    layers: tuple[Layer, ...] = ()


class Guard(_Strict, frozen=True):
    """Who may call a server that many Pods share. Each caller has its own layers, limits and sessions.

    Attributes:
        audience: What a caller's service account token must be meant for.
        review: Who is asked about tokens.
        cache: Seconds for which an answer about a token counts.
        outage: Seconds for which it goes on counting after that while there is no answer at all.
        callers: The Pods; others are refused.
        drain: Seconds for which toolman goes on when it is told to end, while clients connect again elsewhere.
        max_drain: Seconds for which it goes on at most, as long as new connections come: then whatever leads clients
            here has not learned yet that it ends.
        grace: Seconds after that for calls on their way.
    """

    audience: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    review: Reviewer = Reviewer()
    cache: Seconds = 60.0
    outage: Seconds = 600.0
    callers: tuple[Caller, ...] = ()
    drain: Seconds = 12.0
    max_drain: Seconds = 40.0
    grace: Seconds = 30.0


class Config(_Strict, frozen=True):
    """The whole file.

    Attributes:
        version: Of this format.
        listen: Where agents connect.
        admin: Where the kubelet, Prometheus and the operator ask; without it nobody can.
        naming: How agents see tools: ``server__tool``, or the server's own name.
        servers: In the order in which their tools are listed.
        layers: Who allows and denies what, asked in their order; a server that no enforcing layer is about is closed.
        guard: Who may call, where that is not whoever reaches the port; only with ``listen.tls``.
        audit: The audit log.
        sessions: The sessions of clients.
    """

    version: Literal[1] = 1
    listen: Listen = Listen()
    admin: Admin | None = None
    naming: Naming = "prefixed"
    servers: tuple[Server, ...] = ()
    layers: tuple[Layer, ...] = ()
    guard: Guard | None = None
    audit: AuditLog = AuditLog()
    sessions: SessionStore = SessionStore()


def dumps(config: Config) -> bytes:
    """Write a configuration as JSON: the same configuration always gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(config), indent=1)


loads: Final = msgspec.json.Decoder(Config).decode
"""Read a configuration from JSON; :exc:`msgspec.DecodeError` says why it is none.

Made here, while there is one thread: msgspec finds out about a class when it first decodes into it, and a second thread
that comes meanwhile takes the process down.
"""
