from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import directory, sources
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, DirectorySource
from mcp_operator.images.reasons import Reason
from sources import repositories

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.images.checkout import Checkout
    from mcp_operator.settings import Settings

pytestmark = pytest.mark.requirement("B-01")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    made = tmp_path / "origin"
    made.mkdir()
    (made / "server.py").write_text("x = 1\n")
    (made / "run.sh").write_text("#!/bin/sh\n")
    (made / "run.sh").chmod(0o700)
    return made


def fetch(origin: Path, tmp_path: Path) -> Checkout:
    target = tmp_path / "target"
    target.mkdir()
    return directory.fetch(DirectorySource(directory=str(origin)), target, Budget(60))


def fail(origin: Path, tmp_path: Path) -> BuildError:
    with pytest.raises(BuildError) as caught:
        fetch(origin, tmp_path)
    assert caught.value.hint
    return caught.value


def files(checkout: Checkout) -> set[str]:
    return {str(path.relative_to(checkout.root)) for path in checkout.root.rglob("*") if not path.is_dir()}


def git(origin: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=origin,
        env=repositories.ISOLATED,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def committed(origin: Path) -> str:
    git(origin, "init", "--quiet")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "one")
    return git(origin, "rev-parse", "HEAD")


def test_a_folder_is_copied_without_leftovers_and_secrets(origin: Path, tmp_path: Path) -> None:
    for name in ("node_modules/x/index.js", ".venv/bin/python", "__pycache__/a.pyc", ".env", ".env.local"):
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text("TOKEN=1")
    (origin / ".env.example").write_text("TOKEN=")

    checkout = fetch(origin, tmp_path)

    assert files(checkout) == {"server.py", "run.sh", ".env.example"}
    assert os.access(checkout.root / "run.sh", os.X_OK)
    assert checkout.commit == ""
    assert ".env, .env.local" in checkout.warnings[0]


def test_the_same_files_have_the_same_hash_wherever_they_are(origin: Path, tmp_path: Path) -> None:
    first = fetch(origin, tmp_path).content
    elsewhere = tmp_path / "elsewhere"
    origin.rename(elsewhere)
    (tmp_path / "target").rename(tmp_path / "before")
    assert fetch(elsewhere, tmp_path).content == first
    (elsewhere / "server.py").write_text("x = 2\n")
    (tmp_path / "target").rename(tmp_path / "again")
    assert fetch(elsewhere, tmp_path).content != first


def test_a_folder_that_is_its_last_commit_is_that_commit(origin: Path, tmp_path: Path) -> None:
    (origin / "link").symlink_to("server.py")
    commit = committed(origin)

    checkout = fetch(origin, tmp_path)

    assert checkout.commit == commit
    assert checkout.warnings == ()
    assert files(checkout) == {"server.py", "run.sh", "link"}


def test_what_git_ignores_is_left_out_and_what_it_does_not_know_is_taken(origin: Path, tmp_path: Path) -> None:
    (origin / ".gitignore").write_text("secrets.txt\ndist/\n")
    commit = committed(origin)
    (origin / "secrets.txt").write_text("TOKEN=1")
    (origin / "new.py").write_text("")

    checkout = fetch(origin, tmp_path)

    assert files(checkout) == {".gitignore", "server.py", "run.sh", "new.py"}
    assert checkout.commit == ""
    assert commit[:12] in checkout.warnings[0]


def test_a_deleted_file_is_no_error(origin: Path, tmp_path: Path) -> None:
    committed(origin)
    (origin / "run.sh").unlink()

    assert files(fetch(origin, tmp_path)) == {"server.py"}


def test_nothing_that_the_folders_git_names_is_run(origin: Path, tmp_path: Path) -> None:
    committed(origin)
    touched = tmp_path / "touched"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {touched}\n")
    program.chmod(0o755)
    (origin / ".gitattributes").write_text("* filter=evil diff=evil\n")
    for name in ("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv", "core.sshCommand"):
        git(origin, "config", name, str(program))
    (origin / "server.py").write_text("changed")

    fetch(origin, tmp_path)

    assert not touched.exists()


def test_a_link_out_of_the_folder_is_refused(origin: Path, tmp_path: Path, settings: Settings) -> None:
    (origin / "passwd").symlink_to("/etc/passwd")
    target = tmp_path / "checked"
    target.mkdir()

    with pytest.raises(BuildError) as caught:
        sources.fetch(DirectorySource(directory=str(origin)), settings, target, Budget(60))

    assert caught.value.reason == Reason.SOURCE_UNSAFE


def test_a_linked_folder_is_copied_as_the_link_that_it_is(origin: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("x")
    (origin / "folder").symlink_to(tmp_path / "other")

    checkout = fetch(origin, tmp_path)

    assert (checkout.root / "folder").is_symlink()


def test_a_pipe_is_refused_and_waited_for_by_nobody(origin: Path, tmp_path: Path) -> None:
    os.mkfifo(origin / "pipe")

    assert fail(origin, tmp_path).reason == Reason.SOURCE_UNSAFE


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILES", 1), ("MAX_FILE", 3), ("MAX_TREE", 7)])
def test_what_is_too_large_is_refused(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(directory, limit, value)

    assert fail(origin, tmp_path).reason == Reason.SOURCE_TOO_LARGE


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert fail(tmp_path / "absent", tmp_path).reason == Reason.PATH_NOT_FOUND


def test_a_cancel_ends_the_copying(origin: Path, tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()

    with pytest.raises(BuildCancelled):
        directory.fetch(DirectorySource(directory=str(origin)), tmp_path / "target", Budget(60, cancelled))


def test_a_folder_without_git_on_the_machine_is_copied_all_the_same(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(origin)
    monkeypatch.setenv("PATH", str(tmp_path))

    checkout = fetch(origin, tmp_path)

    assert files(checkout) == {"server.py", "run.sh"}
    assert checkout.commit == ""
