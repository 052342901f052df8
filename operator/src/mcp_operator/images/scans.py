"""Look at what was built with the scanners that are installed, and say of each that is not that it did not run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mcp_operator.images import process, redact, scan_reports
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.scan_reports import SEVERITIES, Finding, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.process import Finished

Kind = Literal["dockerfile", "secrets", "sbom", "vulnerabilities"]
KINDS: tuple[Kind, ...] = ("dockerfile", "secrets", "sbom", "vulnerabilities")

TOO_BAD = "ScanFailed"
"""Reason of a build that a scan stops."""
SCAN_SECONDS = 120.0
"""For one tool: they read a few hundred megabytes; the database of vulnerabilities is fetched in this time too."""
MAX_IMAGE = 8 * 1024**3
_PASSED_ON = ("PATH", "HOME", "XDG_CACHE_HOME", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "LANG")
"""Of our environment. Nothing else: scanners read strangers' files, and ours may have tokens."""
_TRIVY_VARIABLES = ("TRIVY_CACHE_DIR", "TRIVY_DB_REPOSITORY", "TRIVY_JAVA_DB_REPOSITORY", "TRIVY_OFFLINE_SCAN")
_TRIVY = ("image", "--quiet", "--cache-backend", "memory")
_SILENT = {
    "SYFT_CHECK_FOR_APP_UPDATE": "false",
    "TRIVY_SKIP_VERSION_CHECK": "true",
    "TRIVY_DISABLE_TELEMETRY": "true",
}
"""They tell nobody what they scan. Variables, as versions that do not know such an option end at it."""
_INSTALL: dict[Kind, str] = {
    "dockerfile": "hadolint",
    "secrets": "trivy",
    "sbom": "syft or trivy",
    "vulnerabilities": "trivy",
}


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What one scan found.

    Attributes:
        kind: What was looked for.
        ran: Whether it came to an answer.
        note: Why it did not.
        tool: Which did.
        findings: Worst first.
        document: The SBOM, CycloneDX as JSON.
    """

    kind: Kind
    ran: bool
    note: str = ""
    tool: str = ""
    findings: tuple[Finding, ...] = ()
    document: str = ""

    def lines(self) -> list[str]:
        """Say it, for people."""
        # Not "secrets: clean": what stands behind such a word and a colon is masked in every log.
        name = f"{self.kind} scan"
        if not self.ran:
            return [f"{name}: not run: {self.note}"]
        if self.document:
            return [f"{name}: made by {self.tool}"]
        head = f"{name}: {len(self.findings)} found by {self.tool}" if self.findings else f"{name}: clean"
        return [head, *(f"  {finding}" for finding in self.findings)]


def lint(dockerfile: str, budget: Budget) -> Scan:
    """Check a Dockerfile with hadolint.

    Raises:
        BuildError: The time is used up.
        BuildCancelled: As the budget says.
    """
    if shutil.which("hadolint") is None:
        return _absent("dockerfile")
    with tempfile.TemporaryDirectory(prefix="toolman-scan-") as folder:
        path = Path(folder) / "Dockerfile.mcp"
        path.write_text(dockerfile)
        # Without a configuration: one in the folder where we happen to be started is none of ours.
        argv = ("hadolint", "--no-color", "--no-fail", "--format", "json", "--config", os.devnull, path.name)
        return _read("dockerfile", argv, Path(folder), budget, scan_reports.hadolint)


def image(engine: Engine, reference: str, budget: Budget, kinds: Iterable[Kind] = KINDS) -> tuple[Scan, ...]:
    """Scan an image: for secrets in its files and configuration, for what it is made of, for known vulnerabilities.

    The tools get a file with the image; Docker itself they do not get.

    Args:
        engine: Where the image is.
        reference: Name or ID.
        budget: When to stop.
        kinds: What to look for; ``dockerfile`` is passed over.

    Raises:
        BuildError: The engine failed, or the time is used up.
        BuildCancelled: As the budget says.
    """
    wanted = [kind for kind in kinds if kind != "dockerfile"]
    runnable = [kind for kind in wanted if _tool(kind)]
    if not runnable:
        return tuple(_absent(kind) for kind in wanted)
    with _saved(engine, reference, budget) as archive:
        return tuple(_scan(kind, archive, budget) if kind in runnable else _absent(kind) for kind in wanted)


def gate(scans: Iterable[Scan], severity: str, *, secrets: bool = True) -> None:
    """Stop a build for what was found.

    A scan that did not run stops it too: who sets a gate wants to know.

    Args:
        scans: What :func:`image` gave.
        severity: The least that stops it: LOW, MEDIUM, HIGH or CRITICAL; empty for no gate on vulnerabilities.
        secrets: Whether secrets stop it.

    Raises:
        BuildError: ``ScanFailed``.
        ValueError: No such severity.
    """
    if severity and severity not in SEVERITIES:
        raise ValueError(f"no severity: {severity!r}; there are {', '.join(SEVERITIES)}")
    for scan in scans:
        if scan.kind == "vulnerabilities" and severity:
            bad = [one for one in scan.findings if SEVERITIES.index(one.severity) >= SEVERITIES.index(severity)]
            hint = "Update the packages named, or the base image; or lower the gate if you accept them."
        elif scan.kind == "secrets" and secrets:
            bad = list(scan.findings)
            hint = "Take the files out of the repository and change the secrets: they are in its history."
        else:
            continue
        if bad or not scan.ran:
            raise _stopped(scan, bad, hint)


def _stopped(scan: Scan, bad: list[Finding], hint: str) -> BuildError:
    found = scan.kind if len(bad) > 1 else {"secrets": "secret", "vulnerabilities": "vulnerability"}.get(scan.kind)
    said = f"{len(bad)} {found} in the image" if bad else f"the scan for {scan.kind} did not run: {scan.note}"
    return BuildError(
        TOO_BAD,
        said,
        step=Step.VERIFY,
        hint=hint if bad else "See to it that it can run, or take the gate away.",
        log_tail="\n".join(str(finding) for finding in bad[:20]),
    )


def _tool(kind: Kind) -> str:
    candidates = ("syft", "trivy") if kind == "sbom" else ("trivy",)
    return next((name for name in candidates if shutil.which(name)), "")


def _absent(kind: Kind) -> Scan:
    return Scan(kind=kind, ran=False, note=f"install {_INSTALL[kind]}")


@contextlib.contextmanager
def _saved(engine: Engine, reference: str, budget: Budget) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="toolman-scan-") as folder:
        path = Path(folder) / "image.tar"
        with path.open("wb") as file:
            engine.save(reference, file, budget, MAX_IMAGE)
        yield path


def _scan(kind: Kind, archive: Path, budget: Budget) -> Scan:
    trivy = ("trivy", *_TRIVY, "--input", archive.name)
    if kind == "secrets":
        scanners = ("--scanners", "secret", "--image-config-scanners", "secret")
        return _read(kind, (*trivy, *scanners, "--format", "json"), archive.parent, budget, scan_reports.secrets)
    if kind == "vulnerabilities":
        argv = (*trivy, "--scanners", "vuln", "--format", "json")
        return _read(kind, argv, archive.parent, budget, scan_reports.vulnerabilities)
    if _tool(kind) == "syft":
        bill: tuple[str, ...] = (
            "syft",
            "scan",
            f"docker-archive:{archive.name}",
            "--quiet",
            "--output",
            "cyclonedx-json",
        )
    else:
        bill = (*trivy, "--format", "cyclonedx")
    return _bill(bill, archive.parent, budget)


def _read(
    kind: Kind, argv: tuple[str, ...], folder: Path, budget: Budget, read: Callable[[bytes], list[Finding]]
) -> Scan:
    done = _run(argv, folder, budget)
    if isinstance(done, str):
        return Scan(kind=kind, ran=False, note=done, tool=argv[0])
    try:
        findings = sorted(read(done.stdout), key=lambda finding: -SEVERITIES.index(finding.severity))
    except UnreadableError:
        return Scan(kind=kind, ran=False, note=f"{argv[0]} gave a report that cannot be read", tool=argv[0])
    return Scan(kind=kind, ran=True, tool=argv[0], findings=tuple(findings))


def _bill(argv: tuple[str, ...], folder: Path, budget: Budget) -> Scan:
    done = _run(argv, folder, budget)
    if isinstance(done, str):
        return Scan(kind="sbom", ran=False, note=done, tool=argv[0])
    try:
        document = scan_reports.cyclonedx(done.stdout)
    except UnreadableError:
        return Scan(kind="sbom", ran=False, note=f"{argv[0]} gave what is no CycloneDX", tool=argv[0])
    return Scan(kind="sbom", ran=True, tool=argv[0], document=document)


def _run(argv: tuple[str, ...], folder: Path, budget: Budget) -> Finished | str:
    """Run a tool; give what it left, or why it gave nothing."""
    part = budget.at_most(SCAN_SECONDS)
    try:
        done = process.run(argv, env=_environment(), cwd=folder, budget=part, step=Step.VERIFY)
    except process.OutputLimitError:
        return f"{argv[0]} wrote more than is accepted"
    except BuildError:
        budget.check(Step.VERIFY)  # all the time is used up, not only what one tool may take
        return f"{argv[0]} took longer than {SCAN_SECONDS:.0f} s"
    if done.code:
        lines = redact.lines(done.stderr) or [f"it exits with {done.code}"]
        return scan_reports.excuse(argv[0], lines)
    return done


def _environment() -> Mapping[str, str]:
    passed = {name: os.environ[name] for name in (*_PASSED_ON, *_TRIVY_VARIABLES) if name in os.environ}
    return {**passed, **_SILENT}
