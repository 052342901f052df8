"""What Docker's errors mean, for a person. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason


class _Cause(NamedTuple):
    pattern: str
    reason: Reason
    message: str
    hint: str
    transient: bool = True


_ENGINE = (
    _Cause(
        r"(?i)permission ?denied.*(?:sock|connect)|PermissionError|(?:sock|connect).*permission ?denied",
        Reason.ENGINE_PERMISSION,
        "permission denied on Docker's socket",
        "Run as a user who may use it (group docker), or set DOCKER_HOST to an engine that may be used.",
    ),
    _Cause(
        r"(?i)no space left on device",
        Reason.DISK_FULL,
        "Docker's disk is full",
        "Free space on the machine where Docker runs: `docker system df` shows what uses it.",
    ),
    _Cause(
        r"(?i)FileNotFoundError|Connection ?refused|Error while fetching server API version|Max retries"
        r"|Connection aborted|RemoteDisconnected|ConnectionResetError|Read timed out|Name or service not known",
        Reason.ENGINE_UNAVAILABLE,
        "Docker is not running",
        "Start it or set DOCKER_HOST.",
    ),
)
_PUSH = (
    _Cause(
        r"no basic auth credentials|unauthorized|authentication required|denied|insufficient_scope|401|403",
        Reason.REGISTRY_AUTHENTICATION,
        "the registry refuses the push of {name}",
        "Give the operator's Docker credentials for this registry that may push to the repository.",
        transient=False,
    ),
    _Cause(
        r"x509|certificate",
        Reason.CERTIFICATE_UNTRUSTED,
        "Docker does not trust the registry's certificate for {name}",
        "Put the authority into /etc/docker/certs.d/<registry>/ca.crt where Docker runs.",
        transient=False,
    ),
    _Cause(
        r"server gave HTTP response to HTTPS client",
        Reason.CERTIFICATE_UNTRUSTED,
        "the registry of {name} speaks plain HTTP",
        "Give it a certificate, or list it under insecure-registries of Docker.",
        transient=False,
    ),
    _Cause(
        r"connection refused|no such host|i/o timeout|connection reset|EOF|50\d|network is unreachable",
        Reason.REGISTRY_UNREACHABLE,
        "the registry of {name} cannot be reached",
        "Check the operator's setting TOOLMAN_REGISTRY and that the registry runs; it is tried again.",
    ),
)


def engine(text: str, step: Step) -> BuildError:
    """Explain a failed call to the engine."""
    for cause in _ENGINE:
        if re.search(cause.pattern, text, re.DOTALL):
            return _error(cause, step, "", text)
    return BuildError(
        Reason.ENGINE_FAILED,
        f"Docker failed: {redact.line(text)}",
        step=step,
        hint="See the log of the Docker daemon; it is tried again.",
        transient=True,
    )


def push(text: str, name: str) -> BuildError:
    """Explain a failed push."""
    for cause in _PUSH:
        if re.search(cause.pattern, text):
            return _error(cause, Step.PUSH, name, text)
    return BuildError(
        Reason.IMAGE_PUSH_FAILED,
        f"{name} could not be pushed: {redact.line(text)}",
        step=Step.PUSH,
        hint="See the registry's log; it is tried again.",
        transient=True,
    )


def base_image(text: str, name: str) -> BuildError:
    """Explain a base image that is neither there nor can be pulled."""
    return BuildError(
        Reason.BASE_IMAGE_UNAVAILABLE,
        f"the base image {name} is not there and cannot be pulled",
        step=Step.BUILD,
        hint="Check TOOLMAN_BASE_PYTHON and TOOLMAN_BASE_NODE, and that Docker can reach their registry.",
        log_tail=redact.line(text),
        transient=True,
    )


def too_old(version: str, wanted: str) -> BuildError:
    """Explain an engine that cannot do what is needed."""
    return BuildError(
        Reason.ENGINE_TOO_OLD,
        f"Docker Engine {version} is too old: {wanted} or newer is needed",
        step=Step.BUILD,
        hint="Upgrade Docker Engine, or set DOCKER_HOST to a newer one.",
    )


def _error(cause: _Cause, step: Step, name: str, text: str) -> BuildError:
    return BuildError(
        cause.reason,
        cause.message.format(name=name),
        step=step,
        hint=cause.hint,
        log_tail=redact.line(text),
        transient=cause.transient,
    )
