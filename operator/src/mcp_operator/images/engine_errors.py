"""What Docker's errors mean, for a person. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason


class BuildFailedError(Exception):
    """An instruction failed; the text is the engine's."""


class RefusedError(Exception):
    """An image was not pulled or pushed; the text is the engine's."""


class _Cause(NamedTuple):
    pattern: str
    reason: Reason
    message: str
    hint: str
    transient: bool = True


_ENGINE = (
    _Cause(
        r"(?i)path to a certificate|invalid (?:ca|client|tls) ?cert|TLS (?:configuration|certificate)"
        r"|could not find a suitable TLS CA|cert\.pem|key\.pem",
        Reason.ENGINE_UNAVAILABLE,
        "the certificates for Docker cannot be read",
        "DOCKER_CERT_PATH must name a folder with ca.pem, cert.pem and key.pem; unset DOCKER_TLS_VERIFY to do without.",
        transient=False,
    ),
    _Cause(
        r"binascii|Incorrect padding|Invalid base64|InvalidConfigFile|Invalid (?:auth )?configuration",
        Reason.ENGINE_UNAVAILABLE,
        "Docker's configuration has credentials that cannot be read",
        "Correct config.json in DOCKER_CONFIG or ~/.docker: `docker logout` and `docker login` write it anew.",
        transient=False,
    ),
    _Cause(
        r"(?i)CERTIFICATE_VERIFY_FAILED|certificate required|bad certificate|unknown ca|hostname .* doesn't match"
        r"|HTTP request to an HTTPS server|WRONG_VERSION_NUMBER|record layer failure",
        Reason.ENGINE_UNAVAILABLE,
        "Docker and we do not trust each other's certificates",
        "Check DOCKER_HOST, DOCKER_TLS_VERIFY, and that ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH belong to it.",
        transient=False,
    ),
    _Cause(
        r"(?i)invalid bind address|invalid proto|paramiko|invalid port|port out of range|unsupported (?:url )?scheme",
        Reason.ENGINE_UNAVAILABLE,
        "DOCKER_HOST is not something that can be connected to",
        "Use unix:///var/run/docker.sock, or tcp://HOST:2376 with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.",
        transient=False,
    ),
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
        "Free space on the machine where Docker runs: `docker system df` shows what uses it, and "
        "`mcp-operator images prune --keep N` removes images of ours.",
    ),
    _Cause(
        r"(?i)read timed out",
        Reason.ENGINE_UNAVAILABLE,
        "Docker does not answer",
        "See its log: it may be overloaded or stuck. Restart it, or set DOCKER_HOST to another one; it is tried again.",
    ),
    _Cause(
        r"(?i)Connection broken|IncompleteRead|InvalidChunkLength|Response ended prematurely|EOF occurred",
        Reason.ENGINE_UNAVAILABLE,
        "Docker stopped, or was restarted, in the middle of its work",
        "See its log; it is tried again.",
    ),
    _Cause(
        r"(?i)FileNotFoundError|Connection ?refused|Error while fetching server API version|Max retries"
        r"|Connection aborted|RemoteDisconnected|ConnectionResetError|Name or service not known"
        r"|Temporary failure in name resolution|No route to host|timed out",
        Reason.ENGINE_UNAVAILABLE,
        "Docker is not running",
        "Start it or set DOCKER_HOST.",
    ),
)
_PULL = (
    (
        r"(?i)toomanyrequests|rate limit",
        "its registry asks to slow down",
        "Wait, log Docker in to the registry, or set TOOLMAN_BASE_PYTHON and TOOLMAN_BASE_NODE to a mirror.",
    ),
    (
        r"(?i)x509|certificate|server gave HTTP response",
        "Docker does not trust its registry",
        "Put the registry's authority into /etc/docker/certs.d/<registry>/ca.crt where Docker runs.",
    ),
    (
        r"(?i)no basic auth|unauthorized|authentication required|\bdenied\b|forbidden",
        "its registry wants other credentials, or there is no such image",
        "Check the name, or `docker login` to its registry where we run, or set TOOLMAN_BASE_PYTHON or _NODE.",
    ),
    (
        r"(?i)manifest unknown|not found|invalid reference|no matching manifest",
        "there is no such image",
        "Check the name and tag in TOOLMAN_BASE_PYTHON, TOOLMAN_BASE_NODE, or in the Dockerfile.",
    ),
)
"""What trying again does not help: pattern, what is wrong, what to do."""
_PULL_ELSE = [
    "its registry cannot be reached",
    "Check TOOLMAN_BASE_PYTHON and TOOLMAN_BASE_NODE, and that Docker can reach their registry.",
]


def engine(text: str, step: Step) -> BuildError:
    """Explain a failed call to the engine."""
    cause = _cause(text)
    if cause:
        return _error(cause, step, text)
    return BuildError(
        Reason.ENGINE_FAILED,
        f"Docker failed: {redact.line(text)}",
        step=step,
        hint="See the log of the Docker daemon; it is tried again.",
        transient=True,
    )


def base_image(text: str, name: str) -> BuildError:
    """Explain a base image that is neither there nor can be pulled."""
    if (cause := _cause(text)) and cause.reason == Reason.DISK_FULL:
        return _error(cause, Step.BUILD, text)
    what, hint = next((words for pattern, *words in _PULL if re.search(pattern, text)), _PULL_ELSE)
    return BuildError(
        Reason.BASE_IMAGE_UNAVAILABLE,
        f"the base image {name} is not there and cannot be pulled: {what}",
        step=Step.BUILD,
        hint=hint,
        log_tail=redact.line(text),
        transient=True,
    )


def passing(text: str) -> bool:
    """Tell whether a pull that failed so may work a moment later: lines break, names do not appear."""
    return base_image(text, "").reason != Reason.DISK_FULL and not any(re.search(it[0], text) for it in _PULL)


def too_old(version: str, wanted: str) -> BuildError:
    """Explain an engine that cannot do what is needed."""
    return BuildError(
        Reason.ENGINE_TOO_OLD,
        f"Docker Engine {version} is too old: {wanted} or newer is needed",
        step=Step.BUILD,
        hint="Upgrade Docker Engine, or set DOCKER_HOST to a newer one.",
    )


def _cause(text: str) -> _Cause | None:
    return next((cause for cause in _ENGINE if re.search(cause.pattern, text, re.DOTALL)), None)


def _error(cause: _Cause, step: Step, text: str) -> BuildError:
    return BuildError(
        cause.reason,
        cause.message,
        step=step,
        hint=cause.hint,
        log_tail=redact.line(text),
        transient=cause.transient,
    )
