from __future__ import annotations

import pytest
from mcp_operator.images import git_errors
from mcp_operator.images.reasons import Reason


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("stderr", "reason", "transient"),
    [
        ("fatal: unable to access 'https://x/': Could not resolve host: x", Reason.HOST_UNKNOWN, True),
        ("ssh: Could not resolve hostname x: Name or service not known", Reason.HOST_UNKNOWN, True),
        ("fatal: ... Failed to connect to x port 443: Connection refused", Reason.HOST_UNREACHABLE, True),
        ("error: RPC failed; The requested URL returned error: 503", Reason.HOST_UNREACHABLE, True),
        (
            "fatal: could not read Username for 'https://x': terminal prompts disabled",
            Reason.AUTHENTICATION_REQUIRED,
            False,
        ),
        ("git@x: Permission denied (publickey).", Reason.AUTHENTICATION_REQUIRED, False),
        ("remote: Repository not found.\nfatal: repository 'https://x/' not found", Reason.REPOSITORY_NOT_FOUND, False),
        ("fatal: https://x/info/refs not valid: is this a git repository?", Reason.REPOSITORY_NOT_FOUND, False),
        ("fatal: couldn't find remote ref refs/heads/nope", Reason.REF_NOT_FOUND, False),
        ("fatal: couldn't find remote ref HEAD", Reason.REPOSITORY_EMPTY, False),
        ("fatal: transport 'file' not allowed", Reason.PROTOCOL_NOT_ALLOWED, False),
        ("SSL certificate problem: self-signed certificate in certificate chain", Reason.CERTIFICATE_UNTRUSTED, False),
        ("fatal: write error: No space left on device", Reason.DISK_FULL, True),
        ("fatal: something new", Reason.FETCH_FAILED, True),
        ("", Reason.FETCH_FAILED, True),
    ],
)
def test_what_git_says_becomes_a_cause_and_a_next_step(stderr: str, reason: Reason, *, transient: bool) -> None:
    error = git_errors.explain(stderr, "https://x/", "branch nope")

    assert error.reason == reason
    assert error.transient == transient
    assert error.hint
    assert error.message


def test_the_missing_ref_is_named() -> None:
    error = git_errors.explain("couldn't find remote ref refs/heads/nope", "https://x/", "branch nope")

    assert error.message == "https://x/ has no branch nope"


def test_credentials_in_what_git_says_are_masked() -> None:
    error = git_errors.explain("fatal: unable to access 'https://me:s3cret@x/'", "https://x/", "")

    assert "s3cret" not in error.log_tail + error.message
