from __future__ import annotations

import pytest
from mcp_operator.images import engine_errors
from mcp_operator.images.contract import Step
from mcp_operator.images.reasons import Reason


@pytest.mark.requirement("F-08", "B-10")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Error while fetching server API version: FileNotFoundError(2, 'No such file')", Reason.ENGINE_UNAVAILABLE),
        ("('Connection aborted.', ConnectionRefusedError(111, 'Connection refused'))", Reason.ENGINE_UNAVAILABLE),
        ("('Connection aborted.', PermissionError(13, 'Permission denied'))", Reason.ENGINE_PERMISSION),
        ("write /var/lib/docker/x: no space left on device", Reason.DISK_FULL),
        ("Connection to tcp://h:2376 timed out", Reason.ENGINE_UNAVAILABLE),
        ("ReadTimeout: UnixHTTPConnectionPool: Read timed out. (read timeout=60)", Reason.ENGINE_UNAVAILABLE),
        ("ProtocolError: ('Connection broken: IncompleteRead(0 bytes read)')", Reason.ENGINE_UNAVAILABLE),
        ("something new", Reason.ENGINE_FAILED),
    ],
)
def test_what_the_engine_says_becomes_a_cause_and_a_next_step(text: str, reason: Reason) -> None:
    error = engine_errors.engine(text, Step.BUILD)

    assert error.reason == reason
    assert error.hint
    assert error.transient


def test_other_failures_of_the_engine_name_their_setting() -> None:
    assert "TOOLMAN_BASE_PYTHON" in engine_errors.base_image("no such host", "python:3.12-slim").hint
    assert "20.10" in engine_errors.too_old("19.3", "20.10").message


@pytest.mark.requirement("B-10")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("TLSParameterError: Path to a certificate and key files must be provided", "cannot be read"),
        ("SSLError: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "do not trust"),
        ("Client sent an HTTP request to an HTTPS server.", "do not trust"),
        ("Error: Incorrect padding", "credentials that cannot be read"),
        ("DockerException: Invalid bind address protocol: htp://x", "DOCKER_HOST is not something"),
        ("DockerException: Install paramiko package to enable ssh:// support", "DOCKER_HOST is not something"),
    ],
)
def test_a_wrong_setting_of_ours_is_told_as_such_and_not_tried_again(text: str, words: str) -> None:
    error = engine_errors.engine(text, Step.BUILD)

    assert error.reason == Reason.ENGINE_UNAVAILABLE
    assert words in error.message
    assert not error.transient


@pytest.mark.requirement("B-10", "B-12")
@pytest.mark.parametrize(
    ("text", "words", "passing"),
    [
        ("manifest for x:1 not found: manifest unknown: manifest unknown", "no such image", False),
        ("pull access denied for x, repository does not exist", "other credentials", False),
        ("toomanyrequests: You have reached your pull rate limit", "slow down", False),
        ("x509: certificate signed by unknown authority", "does not trust", False),
        ("dial tcp: lookup registry-1.docker.io: no such host", "cannot be reached", True),
        ("net/http: TLS handshake timeout", "cannot be reached", True),
    ],
)
def test_a_base_image_that_cannot_be_had_says_why_and_only_lines_that_broke_are_tried_again(
    text: str, words: str, *, passing: bool
) -> None:
    error = engine_errors.base_image(text, "x:1")

    assert error.reason == Reason.BASE_IMAGE_UNAVAILABLE
    assert words in error.message
    assert error.hint
    assert engine_errors.passing(text) == passing


@pytest.mark.requirement("B-10")
def test_a_base_image_for_which_there_is_no_room_is_a_full_disk() -> None:
    text = "failed to register layer: write /x: no space left on device"

    assert engine_errors.base_image(text, "x:1").reason == Reason.DISK_FULL
    assert not engine_errors.passing(text)
