from __future__ import annotations

import errno
import os
import tempfile
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import cleanup
from mcp_operator.images.contract import BuildError
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("uid", ["", "../x", "a/b", "*", ".", "-a", "a" * 65, "a\n"])
def test_only_a_uid_names_folders(uid: str) -> None:
    with pytest.raises(ValueError, match="not a UID"):
        cleanup.folder_prefix(uid)


def test_one_owners_prefix_is_never_the_start_of_anothers() -> None:
    assert not cleanup.folder_prefix("ab").startswith(cleanup.folder_prefix("a"))


def test_one_installations_prefix_is_never_the_start_of_anothers() -> None:
    assert not cleanup.folder_prefix("a", "one").startswith(cleanup.folder_prefix("a", "two"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.requirement("B-13")
def test_folders_tell_their_owner_and_only_those_of_an_installation_count(temporary: Path) -> None:
    with cleanup.folder("uid-1", "one") as path, cleanup.folder("uid-2", "two"):
        assert cleanup.folders("one") == {path: "uid-1"}
        (temporary / "other").mkdir()
        (temporary / f"{cleanup.folder_prefix('uid-3', 'one')}file").write_text("")
        assert cleanup.folders("one") == {path: "uid-1"}
    assert cleanup.folders("one") == {}


@pytest.mark.requirement("B-13")
def test_a_folder_for_asking_a_git_server_is_left_alone_while_it_is_young(temporary: Path) -> None:
    path = temporary / f"{cleanup.folder_prefix(cleanup.NOBODY, 'one')}x"
    path.mkdir()
    assert cleanup.folders("one") == {}

    os.utime(path, (1, 1))

    assert cleanup.folders("one") == {path: cleanup.NOBODY}


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, Reason.DISK_FULL), (errno.EACCES, Reason.FETCH_FAILED)])
def test_a_disk_that_is_full_or_not_ours_is_said_with_what_to_do(temporary: Path, number: int, reason: Reason) -> None:
    with pytest.raises(BuildError) as caught, cleanup.folder("uid-1"):
        raise OSError(number, os.strerror(number))

    assert caught.value.reason == reason
    assert str(temporary) in caught.value.hint
    assert list(temporary.iterdir()) == []
