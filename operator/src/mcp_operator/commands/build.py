"""``mcp-operator build``: from a source to a verified image, on a laptop or in CI, without a cluster."""

from __future__ import annotations

import contextlib
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
from mcp_operator.images import cleanup, display, git, pipeline, publish
from mcp_operator.images.contract import BuildCancelled, BuildError, BuildResult, GitSource, Step
from mcp_operator.images.engine import Engine
from mcp_operator.images.preview import preview
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.preview import Preview
    from mcp_operator.settings import Settings

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SIGNAL = 128
"""And the signal's number, as shells have it: 130 for an interrupt."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CANCELLED = "Cancelled"
"""Reason of a build that was interrupted; no resource ever has it."""
WRONG_USAGE = "WrongUsage"
"""Reason of options that do not go together; no resource ever has it."""
_WAITING = "another build of this source is running; waiting for its end"
_STOPPING = b"mcp-operator build: cancelling; what was made is being removed\n"


def run(given: argparse.Namespace) -> int:
    """Build what the options say; give the exit code.

    0 built and verified, 1 failed, 2 wrong usage, 128 and the number of the signal that ended it.
    """
    began = time.monotonic()
    as_json = given.output == "json"
    interruption = Interruption()
    try:
        # A cluster's settings are not needed; bases, mirrors and authorities count where they are set.
        chosen = _adjusted(settings.from_environment(required=()), given, os.environ)
        request = arguments.request(given)
        publish.check(request)
    except (arguments.UsageError, settings.SettingsError) as error:
        return misused(str(error), as_json=as_json)
    except BuildError as error:
        return misused(error.message, as_json=as_json, reason=str(error.reason), hint=error.hint)
    with interruption.heard(), display.on(sys.stderr) as shown:
        progress = Followed(shown)
        done = _outcome(given, request, chosen, progress, interruption.event)
    seconds = time.monotonic() - began
    # What was cut off on purpose may have failed for that.
    if isinstance(done, BuildCancelled) or (isinstance(done, BuildError) and interruption.number):
        stopped = BuildError(CANCELLED, f"cancelled in {progress.last}; nothing of it is left", step=progress.last)
        report.cancelled(stopped, seconds, as_json=as_json)
        return EXIT_SIGNAL + interruption.number
    if isinstance(done, BuildError):
        report.failed(done, seconds, as_json=as_json)
        return EXIT_FAILED
    if isinstance(done, BuildResult):
        report.built(done, as_json=as_json)
        return _write_sbom(done, Path(given.sbom)) if given.sbom else 0
    tell = report.dockerfile if given.print_dockerfile else report.planned
    tell(done, seconds, as_json=as_json)
    return 0


def misused(message: str, *, as_json: bool, reason: str = WRONG_USAGE, hint: str = "") -> int:
    """Say what is wrong with the options; give the exit code."""
    error = BuildError(reason, message, step=Step.FETCH, hint=hint or "`mcp-operator build --help` lists the options.")
    report.misused(error, as_json=as_json)
    return EXIT_USAGE


class Interruption:
    """Whether a signal has asked to stop, and which."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.number = 0

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Hear signals for the time of the block; those that are ignored stay so, as ``nohup`` wants it."""
        wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._hear) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _frame: object) -> None:
        self.number = self.number or number
        self.event.set()
        # Not by sys.stderr: this may interrupt a write to it.
        with contextlib.suppress(OSError):
            os.write(2, _STOPPING)


class Followed:
    """Progress on its way to a person: remembers the step; nobody listening any more does not end a build."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self.last = Step.FETCH

    def step(self, step: Step, detail: str) -> None:
        """See :class:`~mcp_operator.images.contract.Progress`."""
        self.last = step
        with contextlib.suppress(OSError):
            self._shown.step(step, detail)

    def log(self, line: str) -> None:
        """See :class:`~mcp_operator.images.contract.Progress`."""
        with contextlib.suppress(OSError):
            self._shown.log(line)


def _outcome(
    given: argparse.Namespace, request: BuildRequest, chosen: Settings, progress: Progress, cancelled: threading.Event
) -> BuildResult | Preview | BuildError | BuildCancelled:
    only_look = given.print_dockerfile or given.dry_run
    try:
        with one_at_a_time.holding(request.uid, cancelled, lambda: progress.log(_WAITING)):
            if not only_look:
                _tidy(request)
            request = _settled(request, chosen, cancelled)
            return (preview if only_look else pipeline.build)(request, chosen, progress, cancelled)
    except (BuildError, BuildCancelled) as error:
        return error


def _tidy(request: BuildRequest) -> None:
    """Remove what killed builds of other sources left on this machine: their folders tell of them."""
    for folder, uid in cleanup.folders(request.installation).items():
        if uid == request.uid or folder.stat().st_uid != os.getuid():
            continue
        with one_at_a_time.unless_held(uid) as free:
            if free:
                with Engine() as engine:
                    cleanup.leftovers(engine, {uid}, request.installation)


def _write_sbom(done: BuildResult, path: Path) -> int:
    """Write the bill of materials; give the exit code: who asked for it relies on it."""
    found = next((scan for scan in done.scans if scan.kind == "sbom"), None)
    if found is None or not found.document:
        note = found.note if found else "nothing was built; an image that is found again is not scanned again"
        sys.stderr.write(f"mcp-operator build: no bill of materials was written: {note}\n")
        return EXIT_FAILED
    try:
        path.write_text(found.document, encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"mcp-operator build: {path} cannot be written: {error.strerror}\n")
        return EXIT_FAILED
    return 0


def _adjusted(chosen: Settings, given: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """Let options win over settings, and keep logs where this user's programs keep what they remember."""
    state = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else "")
    wanted = [*given.scan, *(["sbom"] if given.sbom else [])]
    return dataclasses.replace(
        chosen,
        installation=arguments.INSTALLATION,
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
