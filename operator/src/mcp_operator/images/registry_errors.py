"""What registries' errors mean, for a person; whether Docker tells of them or we asked ourselves. Pure."""

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
    transient: bool = False
    reading: str = ""
    """Of an image that somebody named, instead of the hint: the registry is not the operator's own."""


_CAUSES = (
    _Cause(
        r"server gave HTTP response to HTTPS client|WRONG_VERSION_NUMBER|record layer failure",
        Reason.CERTIFICATE_UNTRUSTED,
        "the registry of {name} speaks plain HTTP, for which nobody asked",
        "Give it a certificate. If it must be, name it in TOOLMAN_PLAIN_HTTP_REGISTRIES (plainHttpRegistries of the "
        "chart), and under insecure-registries of the Docker daemon.",
    ),
    _Cause(
        r"(?i)x509|certificate|CERTIFICATE_VERIFY_FAILED|tls: |SSLError",
        Reason.CERTIFICATE_UNTRUSTED,
        "the certificate of the registry of {name} is not trusted",
        "Put its authority into /etc/docker/certs.d/{host}/ca.crt on the machine where Docker runs, and into "
        "TOOLMAN_REGISTRY_CA_FILE (build.caBundle of the chart) for us; if the certificate is for another name or "
        "expired, renew it.",
    ),
    _Cause(
        r"(?i)toomanyrequests|\b429\b|rate limit",
        Reason.REGISTRY_UNREACHABLE,
        "the registry of {name} asks to slow down",
        "Wait, or log in: registries allow more to those they know.",
        transient=True,
    ),
    _Cause(
        r"no basic auth credentials|no credentials",
        Reason.REGISTRY_AUTHENTICATION,
        "the registry wants credentials for {name}, and there are none",
        "Run `docker login {host}`; in a cluster an admin sets registrySecret of the chart, or give "
        "spec.build.pushSecretRef. A credential helper must be installed where we run.",
    ),
    _Cause(
        r"(?i)insufficient_scope|denied|forbidden|\b403\b",
        Reason.REGISTRY_AUTHENTICATION,
        "the credentials do not allow {name}",
        "Use ones that may push to this repository (a token needs the right to write packages), and check its name: "
        "some registries want the project or organisation made first.",
    ),
    _Cause(
        r"(?i)unauthorized|authentication required|incorrect username or password|\b401\b",
        Reason.REGISTRY_AUTHENTICATION,
        "the registry refuses the credentials for {name}",
        "Check user and password or token with `docker login {host}`: it may be mistyped, expired or for another "
        "registry. In a cluster it is in the Secret of spec.build.pushSecretRef, or of registrySecret of the chart.",
    ),
    _Cause(
        r"(?i)\b413\b|entity too large",
        Reason.IMAGE_PUSH_FAILED,
        "a layer of {name} is larger than what stands before the registry lets through",
        "Raise the limit of the proxy or ingress there (nginx: client_max_body_size 0).",
    ),
    _Cause(
        r"(?i)no space left|insufficient storage|\b507\b|quota",
        Reason.REGISTRY_UNREACHABLE,
        "the registry of {name} has no room left",
        "Free space there: delete old tags and run its garbage collection, or raise the quota.",
        transient=True,
    ),
    _Cause(
        r"(?i)manifest unknown|manifest for .* not found",
        Reason.IMAGE_PUSH_FAILED,
        "the registry has no {name}",
        "Check repository and tag; it may have been removed.",
    ),
    _Cause(
        r"(?i)name (?:unknown|invalid)|repository .*not (?:found|exist)|\b404\b",
        Reason.IMAGE_PUSH_FAILED,
        "the registry has no place for {name}",
        "Check the repository's name; some registries want the project or repository made first.",
    ),
    _Cause(
        r"(?i)tag does not exist|does not exist locally",
        Reason.IMAGE_PUSH_FAILED,
        "{name} is no longer in Docker's store",
        "Somebody removed it between build and push; it is tried again.",
        transient=True,
    ),
    _Cause(
        r"(?i)connection (?:refused|reset|aborted)|no such host|name or service not known|name resolution|timed? ?out"
        r"|\bEOF\b|broken pipe|remote end closed|\b50\d\b|unreachable|server misbehaving|incompleteread",
        Reason.REGISTRY_UNREACHABLE,
        "the registry of {name} cannot be reached, or fails",
        "Check the operator's setting TOOLMAN_REGISTRY, that the registry runs and that its disk is not full; "
        "it is tried again.",
        transient=True,
        reading="Check the image's name, and that its registry runs and can be reached under it; it is tried again.",
    ),
)


def explain(text: str, name: str, step: Step = Step.PUSH) -> BuildError:
    """Explain what went wrong between us, or Docker, and a registry.

    Args:
        text: Docker's words, those of the answer (``HTTP 503 ...``), or those of a failed connection.
        name: The image.
        step: In which step.
    """
    host, _, path = name.partition("/")
    said = text
    # Without the name, which is chosen by somebody else: a server may be called certificate-denied.
    for word in (path, path.partition("@")[0].rpartition(":")[0], host):
        said = said.replace(word, "") if word else said
    for cause in _CAUSES:
        hint = cause.hint if step is Step.PUSH else cause.reading or cause.hint
        if re.search(cause.pattern, said):
            return BuildError(
                cause.reason,
                cause.message.format(name=name),
                step=step,
                hint=hint.format(host=host),
                log_tail=redact.line(text),
                transient=cause.transient,
            )
    return BuildError(
        Reason.IMAGE_PUSH_FAILED,
        f"the registry of {name} gave an error that is not known: {redact.line(text)}",
        step=step,
        hint="See the registry's log; it is tried again.",
        transient=True,
    )


def other_digest(name: str, pushed: str, found: str | None) -> BuildError:
    """Explain a registry that has something else than what was pushed."""
    what = f"has {found}" if found else "has nothing"
    return BuildError(
        Reason.IMAGE_PUSH_FAILED,
        f"{pushed} was pushed as {name}, and the registry {what} under that name",
        step=Step.PUSH,
        hint="Somebody else may be pushing the same tag, or a cache stands before the registry; it is tried again.",
        transient=True,
    )
