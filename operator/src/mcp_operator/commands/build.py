"""``mcp-operator build``: from a source to a verified image, on a laptop or in CI, without a cluster."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator import settings
from mcp_operator.commands import arguments, one_at_a_time, report
from mcp_operator.images import display, git, pipeline, publish
from mcp_operator.images.contract import BuildCancelled, BuildError, BuildResult, GitSource, Step
from mcp_operator.images.preview import preview
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from mcp_operator.images.contract import BuildRequest
    from mcp_operator.images.preview import Preview
    from mcp_operator.settings import Settings

EXIT_FAILED = 1
EXIT_USAGE = 2
SIGNALS = (signal.SIGTERM, signal.SIGINT)
CANCELLED = "Cancelled"
"""Reason of a build that was interrupted; no resource ever has it."""
_WAITING = "another build of this source is running; waiting for its end"


def run(given: argparse.Namespace) -> int:
    """Build what the options say; give the exit code: 0 built and verified, 1 failed, 2 wrong usage."""
    try:
        # A cluster's settings are not needed; bases, mirrors and authorities count where they are set.
        chosen = _adjusted(settings.from_environment(required=()), given, os.environ)
        request = arguments.request(given)
        publish.check(request)
    except (arguments.UsageError, settings.SettingsError, BuildError) as error:
        sys.stderr.write(f"mcp-operator build: {error}\n")
        return EXIT_USAGE
    cancelled = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: cancelled.set())
    began = time.monotonic()
    try:
        _do(given, request, chosen, cancelled)
    except BuildCancelled:
        stopped = BuildError(CANCELLED, "the build was cancelled; nothing of it is left", step=Step.BUILD)
        report.failed(stopped, time.monotonic() - began, as_json=given.output == "json")
        return EXIT_FAILED
    except BuildError as error:
        report.failed(error, time.monotonic() - began, as_json=given.output == "json")
        return EXIT_FAILED
    return 0


def _do(given: argparse.Namespace, request: BuildRequest, chosen: Settings, cancelled: threading.Event) -> None:
    only_look = given.print_dockerfile or given.dry_run
    done: BuildResult | Preview
    with (
        display.on(sys.stderr) as progress,
        one_at_a_time.holding(request.uid, cancelled, lambda: progress.log(_WAITING)),
    ):
        request = _settled(request, chosen, cancelled)
        done = (preview if only_look else pipeline.build)(request, chosen, progress, cancelled)
    as_json = given.output == "json"
    if isinstance(done, BuildResult):
        report.built(done, as_json=as_json)
        if given.sbom:
            _write_sbom(done, Path(given.sbom))
    elif given.print_dockerfile:
        report.dockerfile(done, as_json=as_json)
    else:
        report.planned(done, as_json=as_json)


def _write_sbom(done: BuildResult, path: Path) -> None:
    found = next((scan for scan in done.scans if scan.kind == "sbom"), None)
    if found is None or not found.document:
        note = found.note if found else "nothing was built; an image that is found again is not scanned again"
        sys.stderr.write(f"mcp-operator build: no bill of materials was written: {note}\n")
        return
    try:
        path.write_text(found.document, encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"mcp-operator build: {path} cannot be written: {error.strerror}\n")


def _adjusted(chosen: Settings, given: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """Let options win over settings, and keep logs where this user's programs keep what they remember."""
    state = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else "")
    wanted = [*given.scan, *(["sbom"] if given.sbom else [])]
    return dataclasses.replace(
        chosen,
        build_logs=chosen.build_logs or (f"{state}/mcp-operator/builds" if state else ""),
        scans=tuple(dict.fromkeys(wanted)) or chosen.scans,
        scan_severity=given.severity or chosen.scan_severity,
    )


def _settled(request: BuildRequest, chosen: Settings, cancelled: threading.Event) -> BuildRequest:
    """Find out whether the name that was given is a branch's or a tag's."""
    source = request.source
    if not isinstance(source, GitSource) or not source.branch:
        return request
    try:
        git.resolve(source, chosen, cancelled)
    except BuildError as error:
        if error.reason != Reason.REF_NOT_FOUND:
            raise
        tagged = dataclasses.replace(source, branch=None, tag=source.branch)
        git.resolve(tagged, chosen, cancelled)
        return dataclasses.replace(request, source=tagged)
    return request
