"""Reading the suite's verdicts, and the file of what cannot pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance import expectations, suite

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = """\
noise
=== SUMMARY ===
✓ ping: 2 passed, 0 failed
✗ caching: 1 passed, 1 failed
✗ tasks-lifecycle: 0 passed, 0 failed

Total: 3 passed, 1 failed

Not scored for 2026-07-28: 1 scenario(s) run, 1 failing. These do not affect conformance.
  ✗ tasks-lifecycle (extension)
"""
CHECKS = {
    "caching": [
        {"id": "a", "status": "SUCCESS"},
        {"id": "b", "status": "FAILURE", "errorMessage": "no ttlMs"},
        {"id": "c", "status": "WARNING", "errorMessage": "odd"},
    ]
}


def test_scenarios_that_are_not_scored_are_counted_apart() -> None:
    outcome = suite.read(SUMMARY, CHECKS)
    assert outcome.summary() == "1/2 and 0/1 not scored"
    assert outcome.failed == {"caching": ("b: no ttlMs",), "tasks-lifecycle": ("ended without a verdict",)}
    assert outcome.warnings == ("caching/c: odd",)


def test_an_entry_holds_where_all_its_keys_match() -> None:
    entry: dict[str, list[str] | str] = {"scenarios": ["x"], "eras": ["legacy"], "upstreams": ["http"]}
    assert expectations.expected(expectations.Run("2026-07-28", "http", "legacy"), [entry]) == {"x"}
    assert expectations.expected(expectations.Run("2026-07-28", "http", "dual"), [entry]) == set()
    assert expectations.expected(expectations.Run("2026-07-28", "pipes", "legacy"), [entry]) == set()


@pytest.mark.parametrize("entry", ["{scenarios: [x], reason: y}", "{scenarios: [x], reason: y, paragraph: z, era: q}"])
def test_an_entry_without_a_paragraph_or_with_a_misspelt_key_is_refused(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "expected.yaml"
    file.write_text(f"- {entry}")
    with pytest.raises(ValueError, match=r"expected\.yaml"):
        expectations.load(file)
