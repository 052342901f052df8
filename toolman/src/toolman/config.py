"""The configuration file: what toolman reads and the operator writes.

The operator builds a :class:`Config` and dumps it, so a change here that it does not follow fails at type check.
Unknown keys are errors: a misspelt rule must not silently allow something.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from toolman.policy import Layer

if TYPE_CHECKING:
    from pathlib import Path

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
ServerName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]

Naming = Literal["prefixed", "plain"]
"""How agents see a tool: ``server__tool``, or the server's own name (two servers with the same name then collide)."""


class ConfigError(Exception):
    """The configuration cannot be used; the text says where and what to do."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of every section."""


class Listen(_Strict, frozen=True):
    """Where agents connect.

    Attributes:
        loopback: Bind 127.0.0.1 and, where the machine has it, ::1, and nothing else. Otherwise ``host``.
        host: Address to bind when not ``loopback``.
        port: TCP port.
        allowed_hosts: Host header names accepted besides localhost and the bound address (DNS rebinding).
        allowed_origins: Origin header values accepted besides those of localhost.
        refuse_uids: Callers with these user IDs are not served: MCP servers of the same Pod are not agents. Only with
            ``loopback``.
    """

    loopback: bool = True
    host: str = "0.0.0.0"  # noqa: S104 - the container image's default; a sidecar's configuration says loopback
    port: Port = 3000
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    refuse_uids: tuple[int, ...] = ()


class Admin(_Strict, frozen=True):
    """Where the kubelet asks ``/livez`` and ``/readyz``. Never names a tool: an agent can reach this port."""

    host: str = "0.0.0.0"  # noqa: S104 - the kubelet asks from outside the Pod
    port: Port = 9464


class Process(_Strict, frozen=True, tag_field="kind", tag="process"):
    """A child process that speaks MCP over stdio. ``env`` is added to toolman's own environment."""

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    env: dict[str, str] = {}


class Pipes(_Strict, frozen=True, tag_field="kind", tag="pipes"):
    """A container of the same Pod, joined by named pipes in ``directory``, which toolman makes."""

    directory: str


Upstream = Process | Pipes


class Timeouts(_Strict, frozen=True):
    """Seconds.

    Attributes:
        start: From starting the server to its answer to ``initialize`` and ``tools/list``.
        call: Silence after which one call is answered with an error; progress resets it.
    """

    start: Seconds = 60.0
    call: Seconds = 300.0


class Server(_Strict, frozen=True):
    """One MCP server and how to reach it."""

    name: ServerName
    upstream: Upstream
    timeouts: Timeouts = Timeouts()


class Config(_Strict, frozen=True):
    """The whole file. ``layers`` are asked in their order; see :mod:`toolman.policy`."""

    version: Literal[1] = 1
    listen: Listen = Listen()
    admin: Admin | None = None
    naming: Naming = "prefixed"
    servers: tuple[Server, ...] = ()
    layers: tuple[Layer, ...] = ()


def loads(data: bytes, origin: str = "configuration") -> Config:
    """Read a configuration from JSON.

    Args:
        data: The JSON text.
        origin: What to call it in an error.

    Raises:
        ConfigError: Not JSON, an unknown or missing key, a wrong type, two servers of one name, or callers' users
            that cannot be known.
    """
    try:
        config = msgspec.json.decode(data, type=Config)
    except msgspec.DecodeError as error:  # ValidationError is one, too
        raise ConfigError(f"{origin}: {error}") from error
    repeated = [name for name, count in Counter(server.name for server in config.servers).items() if count > 1]
    if repeated:
        raise ConfigError(f"{origin}: two servers are named {repeated[0]!r}: give each a name of its own")
    if config.listen.refuse_uids and not config.listen.loopback:
        raise ConfigError(f"{origin}: listen.refuseUids needs listen.loopback: users are known on this machine alone")
    return config


def load(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: As :func:`loads`, or the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    return loads(data, str(path))


def dumps(config: Config) -> bytes:
    """Write a configuration as JSON: the same configuration always gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(config), indent=1)
