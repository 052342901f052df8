from __future__ import annotations

import pytest
from mcp_operator.images import sources
from mcp_operator.images.contract import DirectorySource, GitCredentials, GitSource, NpmSource, PypiSource, Source

pytestmark = pytest.mark.requirement("B-01")

GIT = GitSource(url="https://forge.test/team/demo.git", branch="main", path="src/weather")


@pytest.mark.parametrize(
    ("source", "name", "described", "pinned", "path"),
    [
        (GIT, "demo-weather", "https://forge.test/team/demo.git", "", "src/weather"),
        (GitSource(url="ssh://h/x", commit="a" * 40), "x", "ssh://h/x", "a" * 40, "."),
        (NpmSource(package="@a/b", version="1.0.0"), "@a/b", "npm:@a/b", "1.0.0", "."),
        (PypiSource(package="demo"), "demo", "pypi:demo", "", "."),
        (DirectorySource(directory="/somewhere/demo", path="a"), "demo-a", "demo", "", "a"),
    ],
)
def test_a_source_is_named_described_and_pinned(
    source: Source, name: str, described: str, pinned: str, path: str
) -> None:
    assert sources.name(source) == name
    assert sources.describe(source) == described
    assert sources.pinned(source) == pinned
    assert sources.path(source) == path


def test_what_decides_about_the_files_is_the_commit_and_never_the_credentials() -> None:
    secret = GitSource(url=GIT.url, tag="v1", path=GIT.path, credentials=GitCredentials(token="s3cret"))

    assert sources.identity(GIT, "c") == sources.identity(secret, "c")
    assert "s3cret" not in str(sources.identity(secret, "c"))
    assert sources.identity(GIT, "c") != sources.identity(GIT, "d")


def test_sources_of_different_kinds_are_never_the_same() -> None:
    npm, pypi = NpmSource(package="demo"), PypiSource(package="demo")

    assert sources.identity(npm, "1.0") != sources.identity(pypi, "1.0")
    assert sources.identity(npm, "1.0") == sources.identity(NpmSource(package="demo", version="latest"), "1.0")


def test_folders_differ_by_their_files() -> None:
    folder = DirectorySource(directory="/x")

    assert sources.identity(folder, "", "one") != sources.identity(folder, "", "two")
