from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import scan_reports

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.requirement("B-24")

SECRET = "AKIAIOSFODNN7EXAMPLE"


def trivy(key: str, *items: object) -> bytes:
    return json.dumps({"SchemaVersion": 2, "Results": [{"Target": "/app/.env", key: items}]}).encode()


def test_a_secret_is_told_by_rule_and_place_and_never_quoted() -> None:
    item = {
        "RuleID": "aws-access-key-id",
        "Severity": "CRITICAL",
        "Title": "AWS key",
        "StartLine": 3,
        "Match": SECRET,
        "Code": {"Lines": [{"Content": SECRET}]},
    }
    (finding,) = scan_reports.secrets(trivy("Secrets", item))

    assert str(finding) == "CRITICAL aws-access-key-id /app/.env:3: AWS key"


def test_a_vulnerability_names_the_package_and_what_to_update_to() -> None:
    item = {
        "VulnerabilityID": "CVE-2024-1",
        "Severity": "HIGH",
        "PkgName": "zlib",
        "InstalledVersion": "1.2",
        "FixedVersion": "1.3",
        "Title": "overflow",
    }
    found = scan_reports.vulnerabilities(trivy("Vulnerabilities", item, {"VulnerabilityID": "CVE-2", "Severity": "?"}))

    assert str(found[0]) == "HIGH CVE-2024-1 zlib 1.2: overflow (fixed in 1.3)"
    assert found[1].severity == "UNKNOWN"
    assert "no version yet" in found[1].message


def test_hadolint_levels_become_severities() -> None:
    report = [{"code": "DL3007", "level": "warning", "line": 1, "message": "latest\x1b[0m"}]

    assert str(scan_reports.hadolint(json.dumps(report).encode())[0]) == "MEDIUM DL3007 line 1: latest"


@pytest.mark.parametrize("report", [b"", b"{}", b"[1]", b"null", b'{"SchemaVersion":2,"Results":[1]}', b"[" * 100_000])
@pytest.mark.parametrize(
    "read", [scan_reports.secrets, scan_reports.vulnerabilities, scan_reports.hadolint, scan_reports.cyclonedx]
)
def test_a_report_of_another_form_is_unreadable_and_never_clean(read: Callable[[bytes], object], report: bytes) -> None:
    with pytest.raises(scan_reports.UnreadableError):
        read(report)


def test_why_a_tool_gave_nothing_is_told() -> None:
    assert "TRIVY_DB_REPOSITORY" in scan_reports.excuse("trivy", ["FATAL init error: DB error: failed to download"])
    assert scan_reports.excuse("trivy", ["note", "an error: x"]) == "trivy failed: an error: x"
