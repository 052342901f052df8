from __future__ import annotations

import pytest
from mcp_operator.images import engine_errors
from mcp_operator.images.contract import Step
from mcp_operator.images.reasons import Reason


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Error while fetching server API version: FileNotFoundError(2, 'No such file')", Reason.ENGINE_UNAVAILABLE),
        ("('Connection aborted.', ConnectionRefusedError(111, 'Connection refused'))", Reason.ENGINE_UNAVAILABLE),
        ("('Connection aborted.', PermissionError(13, 'Permission denied'))", Reason.ENGINE_PERMISSION),
        ("write /var/lib/docker/x: no space left on device", Reason.DISK_FULL),
        ("something new", Reason.ENGINE_FAILED),
    ],
)
def test_what_the_engine_says_becomes_a_cause_and_a_next_step(text: str, reason: Reason) -> None:
    error = engine_errors.engine(text, Step.BUILD)

    assert error.reason == reason
    assert error.hint
    assert error.transient


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("text", "reason", "transient"),
    [
        ("no basic auth credentials", Reason.REGISTRY_AUTHENTICATION, False),
        ("unauthorized: authentication required", Reason.REGISTRY_AUTHENTICATION, False),
        ("denied: requested access to the resource is denied", Reason.REGISTRY_AUTHENTICATION, False),
        ("dial tcp 127.0.0.1:5999: connect: connection refused", Reason.REGISTRY_UNREACHABLE, True),
        ("dial tcp: lookup registry.invalid on 1.1.1.1:53: no such host", Reason.REGISTRY_UNREACHABLE, True),
        ("received unexpected HTTP status: 503 Service Unavailable", Reason.REGISTRY_UNREACHABLE, True),
        ("x509: certificate signed by unknown authority", Reason.CERTIFICATE_UNTRUSTED, False),
        ("http: server gave HTTP response to HTTPS client", Reason.CERTIFICATE_UNTRUSTED, False),
        ("something new", Reason.IMAGE_PUSH_FAILED, True),
    ],
)
def test_what_the_registry_says_becomes_a_cause_and_a_next_step(text: str, reason: Reason, *, transient: bool) -> None:
    error = engine_errors.push(text, "registry/x:1")

    assert error.reason == reason
    assert error.transient == transient
    assert error.step == Step.PUSH
    assert "registry/x:1" in error.message


def test_other_failures_of_the_engine_name_their_setting() -> None:
    assert "TOOLMAN_BASE_PYTHON" in engine_errors.base_image("no such host", "python:3.12-slim").hint
    assert "20.10" in engine_errors.too_old("19.3", "20.10").message
