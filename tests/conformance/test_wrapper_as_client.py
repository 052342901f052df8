"""The suite's verdict on mcp-wrapper: every client scenario that applies to a bridge, in both eras."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from wrapper_harness import SOURCE

from conformance import suite

DRIVER = Path(__file__).with_name("client_driver.py")
WRAPPER = [sys.executable, "-I", "-S", str(SOURCE), "--url", "{url}"]
SCENARIOS = {
    "2025-11-25": (
        "initialize",
        "tools_call",
        "elicitation-sep1034-client-defaults",
        "sse-retry",
        "json-schema-2020-12-preservation",
    ),
    "2026-07-28": (
        "tools_call",
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "json-schema-2020-12-preservation",
    ),
}
"""All but those about authorization and skills, which are the agent's business."""


@pytest.fixture(scope="module")
def installed() -> suite.Suite:
    return suite.install()


@pytest.mark.integration
@pytest.mark.requirement("W-10")
@pytest.mark.parametrize(
    ("version", "scenario"), [(version, name) for version, names in SCENARIOS.items() for name in names]
)
def test_the_suite_finds_no_fault_with_what_the_wrapper_sends(
    installed: suite.Suite, version: str, scenario: str
) -> None:
    command = shlex.join([sys.executable, str(DRIVER), *WRAPPER])
    outcome = installed.run_client(command, scenario, version)
    assert not outcome.failed, outcome.output
