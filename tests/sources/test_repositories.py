"""Repositories are the same on every machine, and tests can change them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sources import repositories

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"README.md": (False, b"hello\n"), "bin/run": (True, b"#!/bin/sh\n")}


def test_the_same_files_give_the_same_commit_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = repositories.create(tmp_path / "a.git", FILES)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert repositories.create(tmp_path / "b.git", FILES) == first
    assert first.startswith("f64b7b2aaf41")


def test_a_commit_changes_adds_and_deletes_files(tmp_path: Path) -> None:
    repository = tmp_path / "a.git"
    first = repositories.create(repository, FILES)
    second = repositories.commit(repository, {"README.md": "bye\n", "new": (True, b"x"), "bin/run": None}, "change")
    assert repositories.head(repository) == second
    assert repositories.git(repository, "show", f"{second}:README.md") == "bye"
    assert repositories.git(repository, "ls-tree", "-r", "--format=%(objectmode) %(path)", second).splitlines() == [
        "100644 README.md",
        "100755 new",
    ]
    assert repositories.git(repository, "rev-parse", f"{second}^") == first


def test_a_branch_starts_at_main_and_leaves_it_alone(tmp_path: Path) -> None:
    repository = tmp_path / "a.git"
    first = repositories.create(repository, FILES)
    other = repositories.commit(repository, {"x": "y"}, "other", branch="other")
    again = repositories.commit(repository, {"x": "z"}, "again", branch="other")
    assert repositories.git(repository, "rev-list", "other").splitlines() == [again, other, first]
    assert repositories.head(repository) == first


def test_a_tag_names_a_commit(tmp_path: Path) -> None:
    repository = tmp_path / "a.git"
    first = repositories.create(repository, FILES)
    repositories.tag(repository, "v1.0.0")
    repositories.commit(repository, {"x": "y"}, "later")
    assert repositories.git(repository, "rev-parse", "v1.0.0") == first


def test_every_own_server_gets_a_repository_without_what_building_left(tmp_path: Path) -> None:
    names = repositories.make_own(tmp_path)
    assert {"weather.git", "not-a-server.git", "needs-setting.git", "broken-build.git", "private.git"} <= set(names)
    files = repositories.git(tmp_path / "weather.git", "ls-tree", "-r", "--name-only", "main").splitlines()
    assert "package-lock.json" in files
    assert not [name for name in files if name.startswith(("node_modules/", "dist/"))]


def test_locks_of_own_servers_name_only_the_public_registry() -> None:
    locks = list(repositories.OWN_SERVERS.glob("*/package-lock.json"))
    assert len(locks) == 3
    for lock in locks:
        resolved = [line for line in lock.read_text().splitlines() if '"resolved"' in line]
        assert resolved
        assert all('"https://registry.npmjs.org/' in line for line in resolved)


@pytest.mark.integration
@pytest.mark.requirement("F-05")
def test_published_servers_arrive_in_the_folders_of_their_repository(published_sources: Path) -> None:
    repository = published_sources / repositories.PUBLISHED
    files = set(repositories.git(repository, "ls-tree", "-r", "--name-only", "main").splitlines())
    assert {
        "src/git/pyproject.toml",
        "src/git/uv.lock",
        "src/time/src/mcp_server_time/server.py",
        "src/filesystem/package.json",
        "src/filesystem/dist/index.js",
    } <= files
    assert repositories.head(repository) == "6e1dd59dc68c129f3a2fd019b171ed19a0dee106"
