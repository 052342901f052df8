"""The suite's verdict on toolman: every kind of upstream, in its own era and across eras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance import container, expectations, route, suite

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.requirement("T-04")]

NEEDS_ROOT = pytest.mark.skipif(not container.possible(), reason="pipes need namespaces, so root, and busybox")
ROUTES = [
    pytest.param((upstream, era), id=f"{upstream}-{era}", marks=[NEEDS_ROOT] if upstream == "pipes" else [])
    for upstream, eras in {
        "process": route.ERAS,
        "pipes": route.ERAS,
        "http": route.ERAS,
        "sse": ["legacy"],
    }.items()
    for era in eras
]
ENTRIES = expectations.load()


@pytest.fixture(scope="module")
def installed() -> suite.Suite:
    return suite.install()


@pytest.fixture(scope="module", params=ROUTES)
def endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, str]]:
    upstream, era = request.param
    with route.to_fixture(upstream, era, tmp_path_factory.mktemp("route")) as url:
        yield url, upstream, era


@pytest.mark.parametrize("revision", [suite.RELEASE, *suite.REVISIONS])
def test_every_scenario_passes_but_those_that_cannot(
    installed: suite.Suite, endpoint: tuple[str, str, str], revision: str
) -> None:
    url, upstream, era = endpoint
    outcome = installed.run_server(url, revision)
    expected = expectations.expected(expectations.Run(revision, upstream, era), ENTRIES)
    surprising = {name: lines for name, lines in outcome.failed.items() if name not in expected}
    assert not surprising, f"{outcome.summary()}: {surprising}"
    stale = expected - outcome.failed.keys()
    assert not stale, f"these pass by now, remove them from {expectations.FILE.name}: {sorted(stale)}"


@pytest.mark.parametrize("revision", [suite.RELEASE, *suite.REVISIONS])
def test_the_fixture_itself_passes_everything(installed: suite.Suite, fixture_url: str, revision: str) -> None:
    outcome = installed.run_server(fixture_url, revision)
    assert not outcome.failed, outcome.failed
    assert len(outcome.passed) == {suite.RELEASE: 32, "2025-11-25": 30 + 3, "2026-07-28": 37 + 13}[revision]


@pytest.fixture(scope="module")
def fixture_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with route.to_fixture("direct", "dual", tmp_path_factory.mktemp("direct")) as url:
        yield url
