from __future__ import annotations

import bz2
import gzip
import io
import stat
import tarfile
import threading
import zipfile
from typing import IO, TYPE_CHECKING

import pytest
from mcp_operator.images import archive
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-01")


def tar(path: Path, *entries: tarfile.TarInfo, content: bytes = b"x") -> Path:
    with tarfile.open(path, "w:gz") as made:
        for entry in entries:
            entry.size = len(content) if entry.isfile() else 0
            made.addfile(entry, io.BytesIO(content) if entry.isfile() else None)
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    info.mode = mode
    return info


def refused(path: Path, tmp_path: Path) -> BuildError:
    with pytest.raises(BuildError) as caught:
        archive.unpack(path, tmp_path / "out", Budget(30))
    assert not (tmp_path / "outside").exists()
    return caught.value


def test_the_files_below_the_top_folder_are_unpacked_with_their_executable_bit_alone(tmp_path: Path) -> None:
    made = tar(tmp_path / "a", entry("package/bin/x.js", mode=0o4755), entry("package/README", mode=0o666))

    archive.unpack(made, tmp_path / "out", Budget(30))

    assert stat.S_IMODE((tmp_path / "out/bin/x.js").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out/README").stat().st_mode) == 0o644


def test_a_zip_is_unpacked_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as made:
        made.writestr("demo/__init__.py", "x = 1")
        made.writestr("demo-1.0.dist-info/METADATA", "Name: demo")

    archive.unpack(tmp_path / "a.whl", tmp_path / "out", Budget(30), top=False)

    assert (tmp_path / "out/demo/__init__.py").read_text() == "x = 1"


@pytest.mark.parametrize(
    "hostile",
    [
        entry("package/../../outside"),
        entry("/outside"),
        entry("package/x", tarfile.SYMTYPE, "/etc/passwd"),
        entry("package/x", tarfile.LNKTYPE, "/etc/passwd"),
        entry("package/x", tarfile.FIFOTYPE),
        entry("package/x", tarfile.CHRTYPE),
        entry("package"),
    ],
)
def test_what_is_no_file_of_the_package_is_refused(hostile: tarfile.TarInfo, tmp_path: Path) -> None:
    assert refused(tar(tmp_path / "a", hostile), tmp_path).reason == Reason.SOURCE_UNSAFE


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    made = tar(tmp_path / "a", entry("package/x"), entry("package/x/y"))

    assert refused(made, tmp_path).reason == Reason.SOURCE_UNSAFE


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("x/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a", "w") as made:
        made.writestr(link, "/etc/passwd")

    assert refused(tmp_path / "a", tmp_path).reason == Reason.SOURCE_UNSAFE


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04broken"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)

    assert refused(tmp_path / "a", tmp_path).reason == Reason.SOURCE_UNSAFE


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    made = tar(tmp_path / "a", entry("package/x"), content=bytes(range(256)) * 64)
    made.write_bytes(made.read_bytes()[:200])

    assert refused(made, tmp_path).reason == Reason.SOURCE_UNSAFE


@pytest.mark.parametrize(("limit", "names"), [("MAX_FILE", 1), ("MAX_TREE", 3), ("MAX_FILES", 3)])
def test_too_many_or_too_large_files_are_refused_while_they_are_unpacked(
    limit: str, names: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[str, int] = {"MAX_FILE": 1000, "MAX_TREE": 1500, "MAX_FILES": 1}
    monkeypatch.setattr(archive, limit, sizes[limit])
    made = tar(tmp_path / "a", *(entry(f"package/{number}") for number in range(names)), content=bytes(1001))

    assert refused(made, tmp_path).reason == Reason.SOURCE_TOO_LARGE


def test_a_cancel_ends_it(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    unpack: Callable[[], None] = lambda: archive.unpack(  # noqa: E731 - what is expected to raise
        tar(tmp_path / "a", entry("package/x")), tmp_path / "out", Budget(30, cancelled)
    )
    with pytest.raises(BuildCancelled):
        unpack()


def bomb(path: Path, *headers: tuple[bytes, int]) -> Path:
    """Write headers that announce so many bytes, and the bytes, which cost nothing when they are packed."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for kind, size in headers:
            info = tarfile.TarInfo("package/x")
            info.type, info.size = kind, size
            file.write(info.tobuf(tarfile.GNU_FORMAT))
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))
    return path


@pytest.mark.requirement("B-13")
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_announces_gigabytes_is_refused_before_it_is_read(kind: bytes, tmp_path: Path) -> None:
    made = bomb(tmp_path / "a", (kind, 1 << 30))
    assert made.stat().st_size < 8 << 20

    assert refused(made, tmp_path).reason == Reason.SOURCE_TOO_LARGE


@pytest.mark.requirement("B-13")
def test_a_zip_whose_directory_is_huge_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_PIECE", 5_000)
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as made:
        for number in range(200):
            made.writestr(str(number), "")

    assert refused(tmp_path / "a.whl", tmp_path).reason == Reason.SOURCE_TOO_LARGE


@pytest.mark.requirement("B-13")
def test_more_than_is_accepted_is_not_read_whatever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_READ", 3 << 20)

    assert refused(bomb(tmp_path / "a", (tarfile.REGTYPE, 4 << 20)), tmp_path).reason == Reason.SOURCE_TOO_LARGE


@pytest.mark.parametrize("opener", [bz2.open, open])
def test_other_archives_that_registries_have_are_read(tmp_path: Path, opener: Callable[..., IO[bytes]]) -> None:
    with opener(tmp_path / "a", "wb") as file, tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(entry("package/x"), io.BytesIO())

    archive.unpack(tmp_path / "a", tmp_path / "out", Budget(30))

    assert (tmp_path / "out/x").exists()
