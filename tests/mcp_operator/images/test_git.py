from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator.images import git, git_run
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, GitSource
from mcp_operator.images.reasons import Reason
from sources import repositories
from sources.server import GitServer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp_operator.images.checkout import Checkout
    from mcp_operator.settings import Settings


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """Serve a repository with a branch, a tag and a subfolder over HTTP."""
    root = tmp_path / "repositories"
    repositories.create(root / "demo.git", {"a.txt": (False, b"one"), "sub/run.sh": (True, b"#!/bin/sh\n")})
    repositories.tag(root / "demo.git", "v1")
    repositories.commit(root / "demo.git", {"a.txt": "two"}, "Second")
    repositories.commit(root / "demo.git", {"a.txt": "other"}, "Third", branch="other")
    repositories.create(root / repositories.PRIVATE, {"a.txt": (False, b"")})
    with serving(root) as running:
        yield running


def clone(source: GitSource, settings: Settings, tmp_path: Path, budget: Budget | None = None) -> Checkout:
    folder = tmp_path / "clone"
    folder.mkdir()
    return git.clone(source, settings, folder, budget or Budget(60))


@pytest.mark.requirement("F-05")
def test_the_default_branch_is_cloned_pinned_and_without_history(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    source = GitSource(url=server.url("demo.git"))

    checkout = clone(source, settings, tmp_path)

    assert checkout.commit == repositories.head(server.root / "demo.git") == git.resolve(source, settings)
    assert (checkout.root / "a.txt").read_text() == "two"
    assert os.access(checkout.root / "sub" / "run.sh", os.X_OK)
    assert not (checkout.root / ".git").exists()
    assert checkout.committed.timestamp() == repositories.FIRST_COMMIT + 60


@pytest.mark.parametrize(("ref", "text"), [({"branch": "other"}, "other"), ({"tag": "v1"}, "one")])
def test_a_branch_or_tag_is_cloned(
    server: GitServer, settings: Settings, tmp_path: Path, ref: dict[str, Any], text: str
) -> None:
    source = GitSource(url=server.url("demo.git"), **ref)

    checkout = clone(source, settings, tmp_path)

    assert (checkout.root / "a.txt").read_text() == text
    assert checkout.commit == git.resolve(source, settings)


def test_an_annotated_tag_resolves_to_its_commit(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    repository = server.root / "demo.git"
    repositories.git(repository, "-c", "user.name=x", "-c", "user.email=x@x", "tag", "-a", "-m", "m", "v2", "main")
    source = GitSource(url=server.url("demo.git"), tag="v2")

    assert git.resolve(source, settings) == repositories.head(repository)
    assert clone(source, settings, tmp_path).commit == repositories.head(repository)


@pytest.mark.parametrize("allowed", ["true", "false"])
def test_an_old_commit_is_cloned_whether_or_not_the_server_gives_commits_by_id(
    server: GitServer, settings: Settings, tmp_path: Path, allowed: str
) -> None:
    repository = server.root / "demo.git"
    repositories.git(repository, "config", "uploadpack.allowAnySHA1InWant", allowed)
    commit = repositories.git(repository, "rev-parse", "v1")
    source = GitSource(url=server.url("demo.git"), commit=commit)

    assert git.resolve(source, settings) == commit
    assert (clone(source, settings, tmp_path).root / "a.txt").read_text() == "one"


def test_a_commit_is_resolved_without_asking(settings: Settings) -> None:
    assert git.resolve(GitSource(url="https://unknown.invalid/x", commit="a" * 40), settings) == "a" * 40


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("repository", "ref", "reason"),
    [
        ("absent.git", {}, Reason.REPOSITORY_NOT_FOUND),
        ("private.git", {}, Reason.AUTHENTICATION_REQUIRED),
        ("demo.git", {"branch": "nope"}, Reason.REF_NOT_FOUND),
        ("demo.git", {"tag": "nope"}, Reason.REF_NOT_FOUND),
    ],
)
def test_what_is_wrong_with_a_source_is_said_when_resolving_and_when_cloning(
    server: GitServer, settings: Settings, tmp_path: Path, repository: str, ref: dict[str, Any], reason: Reason
) -> None:
    source = GitSource(url=server.url(repository), **ref)

    with pytest.raises(BuildError) as resolving:
        git.resolve(source, settings)
    with pytest.raises(BuildError) as cloning:
        clone(source, settings, tmp_path)

    assert resolving.value.reason == cloning.value.reason == reason
    assert resolving.value.hint


def test_a_commit_that_does_not_exist_is_said(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        clone(GitSource(url=server.url("demo.git"), commit="a" * 40), settings, tmp_path)

    assert caught.value.reason == Reason.REF_NOT_FOUND


def test_an_unreachable_host_may_be_tried_again(settings: Settings) -> None:
    with pytest.raises(BuildError) as caught:
        git.resolve(GitSource(url="http://127.0.0.1:1/x"), settings)

    assert caught.value.reason == Reason.HOST_UNREACHABLE
    assert caught.value.transient


def test_an_empty_repository_is_said(settings: Settings, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "empty.git"], check=True)

    with pytest.raises(BuildError) as caught:
        clone(GitSource(url=f"file://{tmp_path}/empty.git"), settings, tmp_path)

    assert caught.value.reason == Reason.REPOSITORY_EMPTY


@pytest.mark.parametrize(
    "ref",
    [
        {"branch": "--upload-pack=id"},
        {"branch": "a b"},
        {"branch": "a..b"},
        {"branch": "a:refs/heads/b"},
        {"branch": "*"},
        {"branch": "a\n"},
        {"branch": "a.lock"},
        {"branch": "a/"},
        {"tag": "-v"},
        {"tag": "a@{1}"},
        {"commit": "HEAD"},
        {"commit": "A" * 40},
        {"branch": "a", "tag": "b"},
    ],
)
def test_a_ref_that_is_no_name_is_refused_before_git_sees_it(settings: Settings, ref: dict[str, Any]) -> None:
    with pytest.raises(BuildError) as caught:
        git.resolve(GitSource(url="https://unknown.invalid/x", **ref), settings)

    assert caught.value.reason == Reason.INVALID_SOURCE


def test_file_urls_need_the_admins_word(settings: Settings, tmp_path: Path) -> None:
    closed = dataclasses.replace(settings, git_protocols=("https", "ssh"))

    with pytest.raises(BuildError) as caught:
        clone(GitSource(url=f"file://{tmp_path}"), closed, tmp_path)

    assert caught.value.reason == Reason.PROTOCOL_NOT_ALLOWED
    assert "https, ssh" in caught.value.hint


def test_a_mirror_is_asked_instead(server: GitServer, settings: Settings) -> None:
    mirrored = dataclasses.replace(settings, git_protocols=("https",), git_mirrors=(f"https://far/={server.url()}",))

    commit = git.resolve(GitSource(url="https://far/demo.git"), mirrored)

    assert commit == repositories.head(server.root / "demo.git")


@pytest.mark.requirement("F-05")
def test_nothing_of_a_repository_runs_and_no_configuration_of_ours_is_used(
    server: GitServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    touched = tmp_path / "touched"
    (home / ".gitconfig").write_text(f'[filter "evil"]\n\tsmudge = touch {touched}\n[core]\n\thooksPath = {home}\n')
    hook = home / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {touched}\n")
    hook.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    repositories.commit(server.root / "demo.git", {".gitattributes": "* filter=evil\n"}, "Filter")

    clone(GitSource(url=server.url("demo.git")), settings, tmp_path)

    assert not touched.exists()


def test_submodules_are_left_out_and_named(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    repository = server.root / "demo.git"
    commit = repositories.head(repository)
    text = f"commit refs/heads/main\ncommitter A <a@a> 1760000500 +0000\ndata 1\nx\nfrom {commit}\n"
    repositories.git(repository, "fast-import", "--quiet", data=f"{text}M 160000 {commit} module\n\n".encode())

    checkout = clone(GitSource(url=server.url("demo.git")), settings, tmp_path)

    assert checkout.warnings == ("left out: git submodules (module); spec.source.git.recurseSubmodules takes them in",)
    assert not any((checkout.root / "module").iterdir())


@pytest.mark.requirement("B-01")
def test_what_only_stands_for_a_file_of_lfs_is_named(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    plain = "version https://git-lfs.example/spec\n" + "x" * 100
    files = {f"{number}.bin": pointer for number in range(4)} | {"text": plain, "about": f"about {pointer}"}
    repositories.commit(server.root / "demo.git", files, "Large")

    checkout = clone(GitSource(url=server.url("demo.git")), settings, tmp_path)

    (warning,) = checkout.warnings
    assert warning.startswith(
        "left out: the content of files of Git LFS (0.bin, 1.bin, 2.bin, ...); spec.source.git.lfs"
    )


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILE", 2), ("MAX_TREE", 4), ("MAX_FILES", 1)])
def test_a_repository_that_is_too_large_is_refused_before_it_is_unpacked(
    server: GitServer,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    limit: str,
    value: int,
) -> None:
    monkeypatch.setattr(git_run, limit, value)

    with pytest.raises(BuildError, match="too large") as caught:
        clone(GitSource(url=server.url("demo.git")), settings, tmp_path)

    assert caught.value.reason == Reason.SOURCE_TOO_LARGE
    assert not (tmp_path / "clone" / "a.txt").exists()


def test_a_clone_is_cancelled_at_once_and_leaves_no_process(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    cancelled = threading.Event()
    cancelled.set()

    with pytest.raises(BuildCancelled):
        clone(GitSource(url=server.url("demo.git")), settings, tmp_path, Budget(60, cancelled))


def test_the_builds_authorities_are_trusted_besides_the_systems(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    with_ca = dataclasses.replace(settings, build_ca_file=str(ca))

    assert git.resolve(GitSource(url=server.url("demo.git")), with_ca)

    ca.unlink()
    with pytest.raises(BuildError) as caught:
        git.resolve(GitSource(url=server.url("demo.git")), with_ca)
    assert caught.value.reason == Reason.CERTIFICATE_UNTRUSTED


@pytest.mark.requirement("O-01")
def test_all_tags_are_listed_with_the_commits_behind_them(server: GitServer, settings: Settings) -> None:
    repository = server.root / "demo.git"
    first = repositories.git(repository, "rev-parse", "v1")
    repositories.git(repository, "-c", "user.name=x", "-c", "user.email=x@x", "tag", "-a", "-m", "m", "v2", "main")

    assert git.tags(GitSource(url=server.url("demo.git")), settings) == {
        "v1": first,
        "v2": repositories.head(repository),
    }


@pytest.mark.requirement("O-01")
def test_tags_of_a_repository_that_is_not_there_are_an_error(server: GitServer, settings: Settings) -> None:
    with pytest.raises(BuildError) as caught:
        git.tags(GitSource(url=server.url("absent.git")), settings)
    assert caught.value.reason == Reason.REPOSITORY_NOT_FOUND
