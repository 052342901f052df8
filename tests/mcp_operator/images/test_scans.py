"""Scanners that are not there, fail, or find something; stand-ins, because those on a machine differ."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pytest
from mcp_operator.images import scans
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError
from mcp_operator.images.scan_reports import Finding
from mcp_operator.images.scans import Scan

if TYPE_CHECKING:
    from mcp_operator.images.engine import Engine

pytestmark = pytest.mark.requirement("B-24")

LEAK = {"SchemaVersion": 2, "Results": [{"Target": "/app/.env", "Secrets": [{"RuleID": "key", "Severity": "HIGH"}]}]}


class Saving:
    """An engine that has an image."""

    def __init__(self) -> None:
        self.saved = 0

    def save(self, image: str, file: IO[bytes], _budget: Budget, _limit: int) -> None:
        self.saved += 1
        file.write(image.encode())


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the only folder of PATH, with a shell in reach of scripts by its full name."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-of-the-test")
    return folder


def install(tools: Path, name: str, script: str) -> None:
    path = tools / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)


def image(budget: Budget | None = None) -> tuple[tuple[Scan, ...], Saving]:
    engine = Saving()
    return scans.image(cast("Engine", engine), "sha256:1", budget or Budget(30)), engine


def test_what_is_not_installed_is_said_and_the_image_not_even_written_down(tools: Path) -> None:
    assert list(tools.iterdir()) == []
    found, engine = image()

    assert [line for scan in found for line in scan.lines()] == [
        "secrets scan: not run: install trivy",
        "sbom scan: not run: install syft or trivy",
        "vulnerabilities scan: not run: install trivy",
    ]
    assert engine.saved == 0
    assert scans.lint("FROM x", Budget(30)).lines() == ["dockerfile scan: not run: install hadolint"]


def test_a_scanner_gets_a_file_and_none_of_our_environment_and_is_to_tell_nobody(tools: Path, tmp_path: Path) -> None:
    install(tools, "trivy", f"env >{tmp_path}/env; cat image.tar >{tmp_path}/image; pwd >{tmp_path}/where; echo '{{}}'")
    _, engine = image()

    assert (tmp_path / "image").read_text() == "sha256:1"
    environment = (tmp_path / "env").read_text()
    assert "s3cr3t" not in environment
    assert "TRIVY_DISABLE_TELEMETRY=true" in environment.splitlines()
    assert engine.saved == 1
    assert not Path((tmp_path / "where").read_text().strip()).exists()


def test_findings_are_told_worst_first(tools: Path) -> None:
    install(tools, "hadolint", """echo '[{"code":"A","level":"info"},{"code":"B","level":"error"}]'""")

    assert [finding.rule for finding in scans.lint("FROM x", Budget(30)).findings] == ["B", "A"]


def test_an_sbom_is_attached_by_whichever_tool_is_there(tools: Path) -> None:
    install(tools, "syft", """echo '{"bomFormat": "CycloneDX", "components": []}'""")
    found, _ = image()
    bill = next(scan for scan in found if scan.kind == "sbom")

    assert json.loads(bill.document)["bomFormat"] == "CycloneDX"
    assert bill.lines() == ["sbom scan: made by syft"]


@pytest.mark.parametrize(
    ("script", "note"),
    [
        ("echo 'FATAL DB error: no' >&2; exit 1", "cannot fetch its database"),
        ("exit 9", "exits with 9"),
        ("echo nonsense", "cannot be read"),
    ],
)
def test_a_scanner_that_fails_did_not_run(tools: Path, script: str, note: str) -> None:
    install(tools, "trivy", script)
    found, _ = image()

    assert not any(scan.ran for scan in found)
    assert note in found[2].note


def test_a_scanner_that_hangs_is_ended(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "SCAN_SECONDS", 0.3)
    install(tools, "hadolint", "sleep 1000")

    assert "longer than" in scans.lint("FROM x", Budget(30)).note


def test_a_cancelled_build_scans_nothing(tools: Path) -> None:
    install(tools, "trivy", "echo '{}'")
    cancelled = threading.Event()
    cancelled.set()

    with pytest.raises(BuildCancelled):
        image(Budget(30, cancelled))


def vulnerable(severity: str) -> list[Scan]:
    return [Scan(kind="vulnerabilities", ran=True, tool="trivy", findings=(finding(severity),))]


def finding(severity: str) -> Finding:
    return Finding(rule="CVE-1", severity=severity, where="zlib 1.2", message="overflow")


def test_a_gate_stops_what_is_as_bad_or_worse_and_names_it() -> None:
    scans.gate(vulnerable("MEDIUM"), "HIGH")
    for severity in ("HIGH", "CRITICAL"):
        with pytest.raises(BuildError, match="1 vulnerability in") as caught:
            scans.gate(vulnerable(severity), "HIGH")
        assert "CVE-1 zlib" in caught.value.log_tail
    scans.gate(vulnerable("CRITICAL"), "")


def test_a_gate_stops_secrets_unless_told_otherwise(tools: Path) -> None:
    install(tools, "trivy", f"echo '{json.dumps(LEAK)}'")
    found, _ = image()

    with pytest.raises(BuildError, match="1 secret in the image"):
        scans.gate(found, "")
    scans.gate(found, "", secrets=False)


def test_a_gate_stops_a_scan_that_did_not_run() -> None:
    with pytest.raises(BuildError, match="did not run: install trivy"):
        scans.gate([Scan(kind="vulnerabilities", ran=False, note="install trivy")], "HIGH")


def test_a_gate_of_a_severity_that_is_none_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no severity"):
        scans.gate([], "AWFUL")
