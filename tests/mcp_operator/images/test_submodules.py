from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import git, git_run, sources, submodules
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, GitCredentials, GitSource
from mcp_operator.images.reasons import Reason
from sources import repositories
from sources.server import GitServer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp_operator.images.checkout import Checkout
    from mcp_operator.settings import Settings

pytestmark = pytest.mark.requirement("B-01")

FORGE = "https://forge.test/team/demo.git"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("../lib.git", "https://forge.test/team/lib.git"),
        ("../../other/lib", "https://forge.test/other/lib"),
        ("./inner.git", "https://forge.test/team/demo.git/inner.git"),
        ("https://forge.test/other/lib.git", "https://forge.test/other/lib.git"),
        ("git@forge.test:other/lib.git", "https://forge.test/other/lib.git"),
        ("ssh://git@forge.test:2222/other/lib.git", "https://forge.test/other/lib.git"),
        ("http://forge.test/other/lib.git", "https://forge.test/other/lib.git"),
        ("https://elsewhere.test/other/lib.git", None),
        ("git@elsewhere.test:other/lib.git", None),
        ("https://forge.test:8443/other/lib.git", None),
        ("https://forge.test@elsewhere.test/x", None),
        ("https://forge.test:nonsense/x", None),
        ("https://forge.test/", None),
        ("../../..", None),
        ("../../../x", None),
        ("/srv/lib.git", None),
        ("file:///srv/lib.git", None),
        ("ext::sh -c true", None),
        ("-uX", None),
        ("", None),
    ],
)
def test_a_submodule_is_looked_for_where_its_repository_is(url: str, found: str | None) -> None:
    assert submodules.beside(url, FORGE) == found


def test_the_user_and_port_of_the_repository_are_kept() -> None:
    assert (
        submodules.beside("git@forge.test:a/b.git", "ssh://git@forge.test:2222/x")
        == "ssh://git@forge.test:2222/a/b.git"
    )


def test_what_gitmodules_says_is_read_as_git_reads_it() -> None:
    listed = b"submodule.a.b.path\nlibs/one\0submodule.a.b.url\n../one\0submodule.two.url\n../two\0core.pager\nsh\0x\0"
    assert submodules.urls(listed) == {"libs/one": "../one"}


@pytest.mark.parametrize("field", ["recurse_submodules", "lfs"])
def test_who_does_not_ask_keeps_the_key_of_what_was_built_before(field: str) -> None:
    plain = GitSource(url=FORGE)
    asking = dataclasses.replace(plain, **{field: True})  # type: ignore[arg-type]  # both are of this type
    assert field not in sources.identity(plain, "a" * 40)
    assert sources.identity(asking, "a" * 40) != sources.identity(plain, "a" * 40)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """Serve a repository with a submodule that has one, too."""
    root = tmp_path / "repositories"
    inner = repositories.create(root / "team" / "inner.git", {"inner.txt": (False, b"inner")})
    middle = root / "team" / "middle.git"
    repositories.create(middle, {"middle.txt": (False, b"middle")})
    repositories.link(middle, {"deep/inner": ("../inner.git", inner)})
    demo = root / "team" / "demo.git"
    repositories.create(demo, {"a.txt": (False, b"one")})
    repositories.link(demo, {"vendor/middle": ("../middle.git", repositories.head(middle))})
    with serving(root) as running:
        yield running


def clone(server: GitServer, settings: Settings, tmp_path: Path, credentials: GitCredentials | None = None) -> Checkout:
    folder = tmp_path / "build" / "clone"
    folder.mkdir(parents=True)
    source = GitSource(url=server.url("team/demo.git"), recurse_submodules=True, credentials=credentials)
    return git.clone(source, settings, folder, Budget(60))


def test_submodules_are_taken_in_at_their_commits(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    pinned = repositories.head(server.root / "team" / "inner.git")
    repositories.commit(server.root / "team" / "inner.git", {"inner.txt": "newer"}, "Later")

    checkout = clone(server, settings, tmp_path)

    files = {str(path.relative_to(checkout.root)) for path in checkout.root.rglob("*") if path.is_file()}
    assert files == {
        *("a.txt", ".gitmodules"),
        *("vendor/middle/middle.txt", "vendor/middle/.gitmodules", "vendor/middle/deep/inner/inner.txt"),
    }
    assert (checkout.root / "vendor/middle/deep/inner/inner.txt").read_text() == "inner"
    assert checkout.commit == repositories.head(server.root / "team" / "demo.git") != pinned
    assert checkout.warnings == ()
    assert [path.name for path in checkout.root.parent.iterdir()] == ["clone"]


def test_submodules_that_are_elsewhere_are_left_out_and_named(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    head = repositories.head(server.root / "team" / "inner.git")
    links = {"far": ("https://elsewhere.invalid/x", head), "unknown": ("", head)}
    repositories.link(server.root / "team" / "demo.git", links)

    checkout = clone(server, settings, tmp_path)

    assert checkout.warnings == (
        "left out: git submodules that are not on the host of their repository (far, unknown)",
    )
    assert not any((checkout.root / "far").iterdir())


def test_without_gitmodules_nothing_is_known_of_a_submodule(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    repositories.commit(server.root / "team" / "demo.git", {".gitmodules": None}, "Forget")
    checkout = clone(server, settings, tmp_path)
    assert checkout.warnings == (
        "left out: git submodules that are not on the host of their repository (vendor/middle)",
    )


def test_a_submodule_that_cannot_be_had_is_named(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    repositories.link(server.root / "team" / "demo.git", {"gone": ("../gone.git", "a" * 40)})

    with pytest.raises(BuildError, match=r"^submodule gone: ") as caught:
        clone(server, settings, tmp_path)

    assert caught.value.reason in {Reason.REPOSITORY_NOT_FOUND, Reason.AUTHENTICATION_REQUIRED}


def test_a_submodule_of_a_submodule_that_cannot_be_had_is_named_once(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    middle = server.root / "team" / "middle.git"
    repositories.link(middle, {"gone": ("../gone.git", "a" * 40)})
    links = {"vendor/middle": ("../middle.git", repositories.head(middle))}
    repositories.link(server.root / "team" / "demo.git", links)

    with pytest.raises(BuildError, match=r"^submodule vendor/middle/gone: (?!submodule)"):
        clone(server, settings, tmp_path)


def test_private_submodules_are_had_with_the_credentials_of_their_repository(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    secret = repositories.create(server.root / repositories.PRIVATE, {"secret.txt": (False, b"x")})
    repositories.link(server.root / "team" / "demo.git", {"secret": (f"../../{repositories.PRIVATE}", secret)})
    user, token = repositories.CREDENTIALS

    checkout = clone(server, settings, tmp_path, credentials=GitCredentials(username=user, token=token))

    assert (checkout.root / "secret" / "secret.txt").is_file()


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (("MAX_FILES", 4), "6 files"),
        (("MAX_TREE", 100), "are accepted"),
        (("MAX_SUBMODULES", 1), "more than 1 submodules"),
        (("MAX_PACK", 2500), "to download"),
    ],
)
def test_bounds_hold_for_all_repositories_together(
    server: GitServer,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    bound: tuple[str, int],
    said: str,
) -> None:
    monkeypatch.setattr(git_run, *bound)
    with pytest.raises(BuildError, match=said) as caught:
        clone(server, settings, tmp_path)
    assert caught.value.reason == Reason.SOURCE_TOO_LARGE
    assert caught.value.message.startswith("submodule vendor/middle: ")


def test_a_submodule_in_a_linked_folder_is_refused(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    """A tree cannot have it, but what an earlier submodule left could."""
    outside = tmp_path / "outside"
    outside.mkdir()
    room = git_run.Room(tmp_path / "build", Budget(60))
    room.root.mkdir()
    (room.root / "vendor").symlink_to(outside)
    source = GitSource(url=server.url("team/inner.git"), commit="a" * 40)

    with pytest.raises(BuildError, match="in the way of something else"):
        git._place_submodule(source, settings, room.root / "vendor", room, "vendor")

    assert not any(outside.iterdir())
