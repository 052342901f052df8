from __future__ import annotations

import errno
import os
import tempfile
from typing import TYPE_CHECKING, cast

import pytest
from mcp_operator.images import cleanup
from mcp_operator.images.contract import BuildError
from mcp_operator.images.reasons import Reason
from mcp_operator.images.stored import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mcp_operator.images.engine import Engine


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


class Used:
    """An engine with images of which some are in use at first."""

    def __init__(self, *images: str, used: str = "") -> None:
        self.there = list(images)
        self.used = used
        self.looks = 0

    def images(self, _labels: Sequence[str]) -> list[Image]:
        self.looks += 1
        return [Image(id=f"sha256:{name}", size=0) for name in self.there]

    def remove_image(self, image: str, *, force: bool = False) -> bool:
        assert not force
        name = image.removeprefix("sha256:")
        if name == self.used:
            self.used = ""
            return False
        self.there.remove(name)
        return True


@pytest.mark.requirement("B-13")
@pytest.mark.parametrize(("used", "looks"), [("", 1), ("a", 2)])
def test_an_owners_images_are_looked_for_again_only_where_one_was_in_use(used: str, looks: int) -> None:
    engine = Used("a", "b", used=used)

    cleanup.remove_images(cast("Engine", engine), "u-1")

    assert (engine.there, engine.looks) == ([], looks)
