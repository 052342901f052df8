from __future__ import annotations

import pytest
from mcp_operator.images import registry_errors
from mcp_operator.images.contract import Step
from mcp_operator.images.reasons import Reason

NAME = "registry.example.com/certificate/denied-404:1"


@pytest.mark.requirement("B-21")
@pytest.mark.parametrize(
    ("text", "reason", "words", "transient"),
    [
        ("no basic auth credentials", Reason.REGISTRY_AUTHENTICATION, "there are none", False),
        ("unauthorized: authentication required", Reason.REGISTRY_AUTHENTICATION, "refuses", False),
        ("denied: requested access to the resource is denied", Reason.REGISTRY_AUTHENTICATION, "do not allow", False),
        ("HTTP 403 DENIED: permission_denied: write_package", Reason.REGISTRY_AUTHENTICATION, "do not allow", False),
        ("toomanyrequests: you have reached your pull rate limit", Reason.REGISTRY_UNREACHABLE, "slow down", True),
        ("dial tcp 127.0.0.1:5999: connect: connection refused", Reason.REGISTRY_UNREACHABLE, "reached", True),
        ("dial tcp: lookup registry.invalid on 1.1.1.1:53: no such host", Reason.REGISTRY_UNREACHABLE, "reached", True),
        ("received unexpected HTTP status: 503 Service Unavailable", Reason.REGISTRY_UNREACHABLE, "fails", True),
        ("write: connection reset by peer", Reason.REGISTRY_UNREACHABLE, "reached", True),
        ("Get https://r/v2/: EOF", Reason.REGISTRY_UNREACHABLE, "reached", True),
        ("error parsing HTTP 413 response body: Entity Too Large", Reason.IMAGE_PUSH_FAILED, "larger", False),
        ("received unexpected HTTP status: 507 Insufficient Storage", Reason.REGISTRY_UNREACHABLE, "no room", True),
        ("unknown: no space left on device", Reason.REGISTRY_UNREACHABLE, "no room", True),
        ("name unknown: repository name not known to registry", Reason.IMAGE_PUSH_FAILED, "no place", False),
        ("manifest for x not found: manifest unknown", Reason.IMAGE_PUSH_FAILED, "has no", False),
        ("tag does not exist: x", Reason.IMAGE_PUSH_FAILED, "no longer", True),
        ("x509: certificate signed by unknown authority", Reason.CERTIFICATE_UNTRUSTED, "not trusted", False),
        ("SSLError [SSL: CERTIFICATE_VERIFY_FAILED]", Reason.CERTIFICATE_UNTRUSTED, "not trusted", False),
        ("http: server gave HTTP response to HTTPS client", Reason.CERTIFICATE_UNTRUSTED, "plain HTTP", False),
        ("something new", Reason.IMAGE_PUSH_FAILED, "not known", True),
    ],
)
def test_what_is_said_becomes_a_cause_and_a_next_step(
    text: str, reason: Reason, words: str, *, transient: bool
) -> None:
    error = registry_errors.explain(text, NAME)

    assert (error.reason, error.transient, error.step) == (reason, transient, Step.PUSH)
    assert words in error.message
    assert NAME in error.message
    assert error.hint


@pytest.mark.requirement("B-21")
def test_the_name_of_an_image_decides_nothing() -> None:
    error = registry_errors.explain(f'Get "https://{NAME}": connection refused', NAME)

    assert error.reason == Reason.REGISTRY_UNREACHABLE


def test_hints_name_the_registry() -> None:
    assert "docker login registry.example.com" in registry_errors.explain("no basic auth credentials", NAME).hint
    assert "certs.d/registry.example.com/ca.crt" in registry_errors.explain("x509: bad", NAME).hint


@pytest.mark.requirement("B-21")
@pytest.mark.parametrize(("found", "words"), [("sha256:2", "has sha256:2"), (None, "has nothing")])
def test_another_digest_than_the_pushed_one_is_told_with_both(found: str | None, words: str) -> None:
    error = registry_errors.other_digest(NAME, "sha256:1", found)

    assert "sha256:1" in error.message
    assert words in error.message


def test_of_an_image_that_somebody_named_the_operators_own_registry_is_not_blamed() -> None:
    refused = "dial tcp: connection refused"
    assert "TOOLMAN_REGISTRY" in registry_errors.explain(refused, NAME).hint
    named = registry_errors.explain(refused, NAME, Step.FETCH).hint
    assert "TOOLMAN_REGISTRY" not in named
    assert "the image's name" in named
