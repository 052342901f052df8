"""Read scanners' reports into one shape, without what a scanner quotes of a secret. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from mcp_operator.images import redact

SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""Trivy's, from the least."""
_LEVELS = {"style": "LOW", "info": "LOW", "warning": "MEDIUM", "error": "HIGH"}
"""hadolint's."""
_DATABASE = re.compile(r"(?i)\bDB error|vulnerability DB|java DB")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to look at.

    Attributes:
        rule: Its ID: ``DL3008``, ``CVE-2024-1``, ``aws-access-key-id``.
        severity: One of :data:`SEVERITIES`.
        where: File, line, package.
        message: One line.
    """

    rule: str
    severity: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.rule} {self.where}: {self.message}"


class UnreadableError(Exception):
    """A report that is not of the form that its tool documents."""


def hadolint(report: bytes) -> list[Finding]:
    """Read hadolint's JSON."""
    return [
        _finding(
            item.get("code"), _LEVELS.get(str(item.get("level")), ""), f"line {item.get('line')}", item.get("message")
        )
        for item in _items(_parsed(report))
    ]


def secrets(report: bytes) -> list[Finding]:
    """Read Trivy's JSON: the rule and the place, never the match."""
    return [
        _finding(item.get("RuleID"), item.get("Severity"), f"{target}:{item.get('StartLine', 0)}", item.get("Title"))
        for target, item in _results(report, "Secrets")
    ]


def vulnerabilities(report: bytes) -> list[Finding]:
    """Read Trivy's JSON: the ID, the package with its version, and the version that is better."""
    return [
        _finding(
            item.get("VulnerabilityID"),
            item.get("Severity"),
            f"{item.get('PkgName')} {item.get('InstalledVersion')}",
            f"{item.get('Title', '')} (fixed in {item.get('FixedVersion') or 'no version yet'})",
        )
        for _, item in _results(report, "Vulnerabilities")
    ]


def cyclonedx(report: bytes) -> str:
    """Check that a document is CycloneDX; give it in one line."""
    document = _parsed(report)
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise UnreadableError
    return json.dumps(document, separators=(",", ":"))


def excuse(tool: str, lines: list[str]) -> str:
    """Say why a tool gave no report, from what it wrote to stderr."""
    if any(_DATABASE.search(line) for line in lines):
        return f"{tool} cannot fetch its database of vulnerabilities; set TRIVY_DB_REPOSITORY to a mirror of it"
    said = next((line for line in lines if re.search(r"(?i)fatal|error", line)), lines[0])
    return f"{tool} failed: {said}"


def _parsed(report: bytes) -> Any:  # noqa: ANN401 - what JSON may be
    try:
        return json.loads(report)
    except (ValueError, RecursionError):
        raise UnreadableError from None


def _results(report: bytes, key: str) -> list[tuple[str, dict[str, Any]]]:
    document = _parsed(report)
    if not isinstance(document, dict) or "SchemaVersion" not in document:
        raise UnreadableError
    results = _items(document.get("Results") or [])
    return [(str(result.get("Target", "")), item) for result in results for item in _items(result.get(key) or [])]


def _items(value: object) -> list[dict[str, Any]]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise UnreadableError


def _finding(rule: object, severity: object, where: str, message: object) -> Finding:
    # File names and titles are strangers' words.
    known = str(severity) if severity in SEVERITIES else "UNKNOWN"
    return Finding(
        rule=redact.line(str(rule)), severity=known, where=redact.line(where), message=redact.line(str(message))
    )
