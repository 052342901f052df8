from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import context
from mcp_operator.images.contract import BuildError

if TYPE_CHECKING:
    from pathlib import Path


def packed(root: Path, ca: bytes | None = None) -> bytes:
    target = io.BytesIO()
    context.pack(target, root, "FROM x\n", ca)
    return target.getvalue()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


@pytest.mark.requirement("F-05")
def test_the_source_is_packed_below_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "run.sh").write_text("x")
    (tmp_path / "sub" / "run.sh").chmod(0o4777)
    (tmp_path / "Dockerfile.mcp").write_text("FROM evil")
    (tmp_path / ".dockerignore").write_text("*")
    (tmp_path / "README.md").write_text("x")
    (tmp_path / "link").symlink_to("README.md")

    found = members(packed(tmp_path, b"ca"))

    assert list(found) == [
        "Dockerfile.mcp",
        "build-ca.pem",
        "source",
        "source/.dockerignore",
        "source/Dockerfile.mcp",
        "source/README.md",
        "source/link",
        "source/sub",
        "source/sub/run.sh",
    ]
    assert found["source/sub/run.sh"].mode == 0o755
    assert found["source/README.md"].mode == 0o644
    assert found["source/link"].linkname == "README.md"
    assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(0, 0, 0)}


@pytest.mark.requirement("B-04")
def test_all_files_have_the_time_of_the_commit(tmp_path: Path) -> None:
    """A generated Dockerfile reads from it what may be installed, and Docker's cache does not look at it."""
    (tmp_path / "package.json").write_text("{}")
    target = io.BytesIO()

    context.pack(target, tmp_path, "FROM x\n", moment=1_700_000_000)

    assert {member.mtime for member in members(target.getvalue()).values()} == {1_700_000_000}


def test_history_and_installed_packages_are_left_out(tmp_path: Path) -> None:
    for name in (".git", "node_modules", ".venv", "sub/node_modules", "__pycache__"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").write_text("x")

    assert list(members(packed(tmp_path))) == ["Dockerfile.mcp", "source", "source/sub"]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).write_text(name)
    first = packed(tmp_path)
    os.utime(tmp_path / "a", (1, 1))

    assert packed(tmp_path) == first


def test_names_that_are_not_text_are_kept(tmp_path: Path) -> None:
    (tmp_path / "new\nline $(id)").write_text("x")
    (tmp_path / os.fsdecode(b"\xff\xfe")).write_text("x")
    (tmp_path / ("long" * 60)).write_text("x")

    data = packed(tmp_path)

    assert b"source/\xff\xfe" in data
    assert "source/new\nline $(id)" in members(data)
    assert f"source/{'long' * 60}" in members(data)


def test_authorities_that_cannot_be_read_name_the_setting(tmp_path: Path) -> None:
    assert context.authorities("") is None
    with pytest.raises(BuildError) as caught:
        context.authorities(str(tmp_path / "absent"))
    assert "TOOLMAN_BUILD_CA_FILE" in caught.value.hint


@pytest.mark.requirement("B-02")
def test_for_a_dockerfile_of_its_own_a_repositorys_files_are_where_it_expects_them(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a").write_text("x")
    (tmp_path / "Dockerfile.mcp").write_text("FROM evil")
    (tmp_path / ".dockerignore").write_text("*")
    (tmp_path / "build-ca.pem").write_text("evil")
    target = io.BytesIO()

    context.pack(target, tmp_path, "FROM x\n", b"ca", own=True)

    assert list(members(target.getvalue())) == ["Dockerfile.mcp", "build-ca.pem", "src", "src/a"]
    assert b"evil" not in target.getvalue()
