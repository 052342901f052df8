from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator.images import git, git_run, lfs
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

CONTENT = b"model" * 100
CREDENTIALS = GitCredentials(username=repositories.CREDENTIALS[0], token=repositories.CREDENTIALS[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """Serve a repository with a file in Git LFS."""
    with serving(tmp_path / "repositories") as running:
        kept = running.keep(CONTENT).encode()
        for name in ("demo.git", repositories.PRIVATE):
            repositories.create(running.root / name, {"run": (True, kept), "plain": (False, b"x" * 200)})
        yield running


def clone(
    server: GitServer,
    settings: Settings,
    tmp_path: Path,
    name: str = "demo.git",
    **more: Any,  # noqa: ANN401 - any field
) -> Checkout:
    folder = tmp_path / "build" / "clone"
    folder.mkdir(parents=True)
    return git.clone(GitSource(url=server.url(name), lfs=True, **more), settings, folder, Budget(60))


def fail(
    server: GitServer,
    settings: Settings,
    tmp_path: Path,
    name: str = "demo.git",
    **more: Any,  # noqa: ANN401 - any field
) -> BuildError:
    with pytest.raises(BuildError) as caught:
        clone(server, settings, tmp_path, name, **more)
    assert caught.value.hint
    return caught.value


def test_content_takes_the_place_of_what_stands_for_it(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    checkout = clone(server, settings, tmp_path)

    assert (checkout.root / "run").read_bytes() == CONTENT
    assert os.access(checkout.root / "run", os.X_OK)
    assert sorted(path.name for path in checkout.root.iterdir()) == ["plain", "run"]
    assert checkout.warnings == ()


def test_more_files_than_are_asked_for_at_a_time_are_fetched(
    server: GitServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfs, "BATCH", 2)
    contents = {f"{number}.bin": b"%d" % number for number in range(5)}
    repositories.commit(
        server.root / "demo.git", {name: server.keep(content) for name, content in contents.items()}, "More"
    )

    checkout = clone(server, settings, tmp_path)

    assert {name: (checkout.root / name).read_bytes() for name in contents} == contents
    assert sum("/batch" in line for line in server.requests) == 3


def test_files_of_submodules_are_fetched_from_theirs(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    head = repositories.head(server.root / "demo.git")
    repositories.create(server.root / "whole.git", {"a.txt": (False, b"a")})
    repositories.link(server.root / "whole.git", {"module": ("../demo.git", head)})

    checkout = clone(server, settings, tmp_path, "whole.git", recurse_submodules=True)

    assert (checkout.root / "module" / "run").read_bytes() == CONTENT


def test_a_private_repositorys_files_are_had_with_its_credentials(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    checkout = clone(server, settings, tmp_path, repositories.PRIVATE, credentials=CREDENTIALS)
    assert (checkout.root / "run").read_bytes() == CONTENT


def test_credentials_go_to_no_other_host_and_the_servers_own_headers_are_sent(
    server: GitServer, settings: Settings, tmp_path: Path
) -> None:
    with serving(tmp_path / "elsewhere") as other:
        other.objects = server.objects
        (oid,) = server.objects
        server.actions = {"href": f"{other.url()}{repositories.PRIVATE}/lfs-content/{oid}"}
        refused = fail(server, settings, tmp_path, repositories.PRIVATE, credentials=CREDENTIALS)
        assert "without https" in refused.message
        assert other.requests == []
    assert refused.message.startswith("Git LFS: ")


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ({"href": "file:///etc/passwd"}, "cannot be read"),
        ({"href": "ftp://host/x"}, "without https"),
        ({"href": "https://[/x"}, "cannot be read"),
        ({"href": "https://host/\n"}, "cannot be read"),
        ({"href": 1}, "cannot be read"),
        ({"header": {"X": "a\r\nY: b"}}, "cannot be read"),
        ({"header": {"X Y": "a"}}, "cannot be read"),
        ({"header": ["X"]}, "cannot be read"),
    ],
)
def test_an_answer_that_leads_astray_is_refused(
    server: GitServer, settings: Settings, tmp_path: Path, *, actions: dict[str, Any], said: str
) -> None:
    server.actions = actions
    error = fail(server, settings, tmp_path)
    assert error.message.startswith("Git LFS: ")
    assert said in error.message


def test_content_that_is_another_is_refused(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    (oid,) = server.objects
    server.objects[oid] = CONTENT[::-1]
    assert "its sha256 differs" in fail(server, settings, tmp_path).message


def test_content_that_is_larger_than_was_said_is_refused(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    (oid,) = server.objects
    server.objects[oid] = CONTENT * 2
    assert fail(server, settings, tmp_path).reason == Reason.SOURCE_TOO_LARGE


def test_content_that_the_server_does_not_have_is_named(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    server.objects.clear()
    assert "has no content of run" in fail(server, settings, tmp_path).message


@pytest.mark.parametrize("bound", ["MAX_FILE", "MAX_TREE"])
def test_bounds_hold_for_the_content(
    server: GitServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(git_run, bound, 450)
    assert fail(server, settings, tmp_path).reason == Reason.SOURCE_TOO_LARGE
    assert not any("lfs" in line for line in server.requests)


def test_a_server_without_it_is_said(server: GitServer, settings: Settings, tmp_path: Path) -> None:
    copy = f"file://{server.root}/demo.git"
    folder = tmp_path / "build" / "clone"
    folder.mkdir(parents=True)
    with pytest.raises(BuildError, match="over https only"):
        git.clone(GitSource(url=copy, lfs=True), settings, folder, Budget(60))
