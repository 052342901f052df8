"""The conformance suite of the protocol's authors: pinned, installed from npm, run, its verdict read.

Two versions are needed: 0.1.16 is the last release, and only the 0.2 line knows the revision 2026-07-28.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab import commands, node_packages, settings
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).resolve().parent
RELEASE = "0.1.16"
"""Name of the run with the released version: every server scenario that it has."""
REVISIONS = ("2025-11-25", "2026-07-28")
"""Names of the runs with the 0.2 line: exactly the scenarios that a revision requires, frozen when it was released."""
RUN_SECONDS = 300.0
"""For all scenarios against one server: those of 2026-07-28 take 12 s when all pass."""
SCENARIO_MILLISECONDS = 10_000
"""For one client scenario; one that passes takes 2 s at most."""
ENTRY = Path("@modelcontextprotocol/conformance/dist/index.js")


@dataclass(frozen=True)
class Outcome:
    """What the suite said of one server or client.

    Attributes:
        passed: Scenarios without a failed check.
        failed: The others, each with its failed checks as ``check-id: message``.
        not_scored: Those of ``passed`` and ``failed`` that the suite reports apart: extensions, pending ones.
        warnings: Checks of any scenario that ended in a warning, as ``scenario/check-id: message``.
        output: All that the suite wrote.
    """

    passed: frozenset[str]
    failed: Mapping[str, tuple[str, ...]]
    not_scored: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    output: str = field(default="", repr=False)

    @property
    def required(self) -> tuple[int, int]:
        """How many of the scenarios that count were passed, and how many there are."""
        return self._count(scored=True)

    @property
    def extra(self) -> tuple[int, int]:
        """The same of those that do not count."""
        return self._count(scored=False)

    def _count(self, *, scored: bool) -> tuple[int, int]:
        passed = sum((name in self.not_scored) is not scored for name in self.passed)
        return passed, passed + sum((name in self.not_scored) is not scored for name in self.failed)

    def summary(self) -> str:
        """Give one line: ``37/37 and 13/13 not scored``."""
        extra = "" if self.extra[1] == 0 else " and {}/{} not scored".format(*self.extra)
        return "{}/{}".format(*self.required) + extra


@dataclass(frozen=True)
class Suite:
    """Both versions of the suite, installed.

    Attributes:
        node: Executable of the Node that runs them.
        released: Entry file of 0.1.16.
        draft: Entry file of the 0.2 line.
    """

    node: Path
    released: Path
    draft: Path

    def run_server(self, url: str, which: str) -> Outcome:
        """Run the server scenarios of ``which`` (``RELEASE`` or one of ``REVISIONS``) against a URL.

        Args:
            url: The endpoint, by a loopback name or address: the scenario on DNS rebinding wants one.
            which: Which scenarios.

        Raises:
            LabError: The suite did not come to an end.
        """
        if which == RELEASE:
            selection = [str(self.released), "server", "--suite", "all"]
        else:
            selection = [str(self.draft), "server", "--requirements", which]
        with tempfile.TemporaryDirectory() as folder:
            done = commands.attempt(
                *(str(self.node), *selection, "--url", url, "--output-dir", folder), timeout=RUN_SECONDS
            )
            output = done.stdout + done.stderr
            if "=== SUMMARY ===" not in output:
                raise LabError(f"the conformance suite came to no verdict on {url}: {output[-500:]}")
            return read(output, _checks(Path(folder)))

    def run_server_scenario(self, url: str, which: str, scenario: str) -> Outcome:
        """Run one server scenario of ``which``, to look at it: ``output`` holds what was sent and received.

        Args:
            url: The endpoint.
            which: ``RELEASE`` or one of ``REVISIONS``.
            scenario: The scenario's name.
        """
        selection = (str(self.released),) if which == RELEASE else (str(self.draft), "--spec-version", which)
        done = commands.attempt(
            *(
                str(self.node),
                selection[0],
                "server",
                *selection[1:],
                "--url",
                url,
                "--scenario",
                scenario,
                "--verbose",
            ),
        )
        output = done.stdout + done.stderr
        if done.returncode == 0:
            return Outcome(frozenset({scenario}), {}, output=output)
        return Outcome(frozenset(), {scenario: ("see the output",)}, output=output)

    def run_client(self, command: str, scenario: str, version: str) -> Outcome:
        """Run one client scenario: the suite serves, and starts ``command`` with its URL as the last word.

        The command finds the scenario's name in ``MCP_CONFORMANCE_SCENARIO``, the revision in
        ``MCP_CONFORMANCE_PROTOCOL_VERSION`` and, for some scenarios, JSON in ``MCP_CONFORMANCE_CONTEXT``.

        Args:
            command: A command line; the suite has it split and run by a shell.
            scenario: The scenario's name.
            version: The protocol's revision.
        """
        with tempfile.TemporaryDirectory() as folder:
            done = commands.attempt(
                *(str(self.node), str(self.draft), "client", "--command", command, "--scenario", scenario),
                *("--spec-version", version, "--timeout", str(SCENARIO_MILLISECONDS), "--output-dir", folder),
            )
            checks = [entry for entries in _checks(Path(folder), prefix="").values() for entry in entries]
            said = "\n".join(path.read_text() for path in sorted(Path(folder).glob("*/std*.txt")))
        output = f"{done.stdout}{done.stderr}\n{said}"
        warnings = tuple(f"{scenario}/{line}" for line in _lines(checks, "WARNING"))
        if done.returncode == 0:
            return Outcome(frozenset({scenario}), {}, warnings=warnings, output=output)
        failures = _lines(checks, "FAILURE") or (f"no verdict: {output.strip()[-300:]}",)
        return Outcome(frozenset(), {scenario: failures}, warnings=warnings, output=output)


def install() -> Suite:
    """Install what is missing of Node and the suites in the lab's cache; needs npm's registry the first time.

    Raises:
        LabError: It cannot be installed.
    """
    chosen = settings.from_environment()
    released, draft = (node_packages.install(chosen, HERE / "suites" / line) / ENTRY for line in ("0.1", "0.2"))
    return Suite(node_packages.node(chosen), released, draft)


def read(output: str, checks: Mapping[str, list[dict[str, str]]]) -> Outcome:
    """Read the summary that the suite ends with.

    Args:
        output: What it wrote.
        checks: By scenario, the checks that it saved.
    """
    summary = output[output.rindex("=== SUMMARY ===") :]
    scored, _, apart = summary.partition("Not scored for")
    verdicts = {name: mark == "✓" for mark, name in re.findall(r"^([✓✗]) (\S+): ", scored, re.MULTILINE)}
    failed = {
        name: _lines(checks.get(name, []), "FAILURE") or ("ended without a verdict",)
        for name, good in verdicts.items()
        if not good
    }
    return Outcome(
        passed=frozenset(name for name, good in verdicts.items() if good),
        failed=failed,
        not_scored=frozenset(re.findall(r"^\s+[✓✗] (\S+) \(", apart, re.MULTILINE)),
        warnings=tuple(f"{name}/{line}" for name, found in checks.items() for line in _lines(found, "WARNING")),
        output=output,
    )


def _checks(folder: Path, prefix: str = "server-") -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted(folder.glob("*/checks.json")):
        name = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", path.parent.name.removeprefix(prefix))
        found[name] = json.loads(path.read_text())
    return found


def _lines(checks: list[dict[str, str]], status: str) -> tuple[str, ...]:
    wanted = (check for check in checks if check.get("status") == status)
    return tuple(f"{check['id']}: {check.get('errorMessage', '')}" for check in wanted)
