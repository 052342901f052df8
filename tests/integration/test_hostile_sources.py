"""Sources that mean harm: links out, bombs of every kind, and what is left on the disk while they are refused."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
import threading
import zipfile
from typing import TYPE_CHECKING

import package_registry
import pytest
from mcp_operator.images import git_run, pipeline
from mcp_operator.images.contract import (
    BuildError,
    BuildRequest,
    DirectorySource,
    GitSource,
    NpmSource,
    PypiSource,
    Source,
    Step,
)
from mcp_operator.images.reasons import Reason
from mcp_operator.settings import Settings
from sources import repositories
from sources.server import GitServer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-01"), pytest.mark.requirement("B-13")]

DISK = 600 * 2**20
"""Bytes: what a source may take, and a little."""
SERVER = {"package.json": '{"name": "x", "main": "a.js"}', "a.js": "// 'tools/list' 'initialize' serverInfo stdin\n"}


class Fetcher:
    """Builds from sources, in a folder for temporary files that is this test's own, and watches how large it gets."""

    def __init__(self, lab: Environment, temporary: Path) -> None:
        self.settings = Settings(
            registry=lab.registry,
            image_toolman="",
            image_wrapper="",
            base_python=lab.base_python,
            base_node=lab.base_node,
            git_protocols=("http",),
        )
        self._temporary = temporary
        self.most = 0

    def step(self, step: Step, detail: str) -> None:
        """Hear nothing."""

    def log(self, line: str) -> None:
        """Hear nothing."""

    def refuse(self, source: Source) -> BuildError:
        """Build what is refused."""
        request = BuildRequest(
            source=source, repository="r.test/x", deployment_id="x", uid="hostile-source", push=False, timeout=100
        )
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(done,))
        watch.start()
        try:
            with pytest.raises(BuildError) as caught:
                pipeline.build(request, self.settings, self, threading.Event())
        finally:
            done.set()
            watch.join()
        assert caught.value.step is Step.FETCH
        assert caught.value.hint
        assert list(self._temporary.iterdir()) == []
        assert self.most < DISK
        return caught.value

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(0.05):
            used = subprocess.run(["du", "-sB1", str(self._temporary)], capture_output=True, check=False).stdout
            self.most = max(self.most, int(used.split()[0]))


@pytest.fixture
def fetcher(lab: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetcher:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return Fetcher(lab, temporary)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    root = tmp_path / "repositories"
    with serving(root) as running:
        yield running


@pytest.fixture
def registry(fetcher: Fetcher) -> Iterator[package_registry.Registry]:
    with package_registry.serving() as running:
        fetcher.settings = dataclasses.replace(
            fetcher.settings, npm_registry=running.url, pypi_index=f"{running.url}/simple"
        )
        yield running


def fast_import(server: GitServer, stream: Iterator[bytes]) -> GitSource:
    """Make a repository from what ``git fast-import`` reads."""
    repository = server.root / "bomb.git"
    repository.mkdir(parents=True)
    repositories.git(repository, "init", "--quiet", "--bare", "--initial-branch=main")
    argv = ["git", "--git-dir", str(repository), "-c", "core.bigFileThreshold=4g", "fast-import", "--quiet"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=repositories.ISOLATED) as process:
        assert process.stdin
        for piece in stream:
            process.stdin.write(piece)
        process.stdin.close()
        assert process.wait(100) == 0
    return GitSource(url=server.url("bomb.git"))


COMMIT = b"commit refs/heads/main\ncommitter A <a@a> 1792454400 +0000\ndata 1\nx\n"


def zeros(mark: int, size: int) -> Iterator[bytes]:
    yield b"blob\nmark :%d\ndata %d\n" % (mark, size + 2)
    for _ in range(size >> 20):
        yield bytes(1 << 20)
    yield b"%02d\n" % mark


@pytest.mark.parametrize(
    ("name", "target"),
    [("out", "../../../etc/passwd"), ("out", "/etc"), ("folder", ".."), ("in/out", "../../x"), ("through", "loop/..")],
)
def test_a_link_out_of_a_repository_is_refused(fetcher: Fetcher, server: GitServer, name: str, target: str) -> None:
    def stream() -> Iterator[bytes]:
        yield COMMIT
        for path, text in SERVER.items():
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(text), text.encode())
        yield b"M 120000 inline loop\ndata 1\n.\n"
        yield b"M 120000 inline %s\ndata %d\n%s\n" % (name.encode(), len(target), target.encode())

    error = fetcher.refuse(fast_import(server, stream()))

    assert error.reason == Reason.SOURCE_UNSAFE
    assert "leads out of the repository" in error.message


def test_a_huge_file_in_a_small_pack_is_refused_before_it_is_written(
    fetcher: Fetcher, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stream() -> Iterator[bytes]:
        yield from zeros(1, 256 << 20)
        yield COMMIT + b"M 100644 :1 huge\n\n"

    source = fast_import(server, stream())
    monkeypatch.setattr(fetcher, "most", 0)
    error = fetcher.refuse(source)

    assert error.reason == Reason.SOURCE_TOO_LARGE
    assert "huge has 256 MiB" in error.message
    assert fetcher.most < 64 << 20


def test_a_small_pack_that_needs_gigabytes_of_memory_is_refused(
    fetcher: Fetcher, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_run, "MAX_MEMORY", 100 << 20)

    def stream() -> Iterator[bytes]:
        for mark in range(1, 4):  # each but a little other than the one before
            yield from zeros(mark, 80 << 20)
        yield COMMIT + b"".join(b"M 100644 :%d b%d\n" % (mark, mark) for mark in range(1, 4)) + b"\n"

    error = fetcher.refuse(fast_import(server, stream()))

    assert error.reason == Reason.SOURCE_TOO_LARGE
    assert "memory" in error.message


def test_ten_thousand_million_files_in_a_few_objects_are_refused(fetcher: Fetcher, server: GitServer) -> None:
    repository = server.root / "bomb.git"
    repositories.create(repository, {"a.txt": (False, b"x")})
    entry, kind, mode = repositories.git(repository, "rev-parse", "main:a.txt"), "blob", "100644"
    for _ in range(10):
        listing = "".join(f"{mode} {kind} {entry}\t{number}\n" for number in range(10))
        entry, kind, mode = repositories.git(repository, "mktree", data=listing.encode()), "tree", "040000"
    made = f"tree {entry}\nauthor A <a@a> 1792454400 +0000\ncommitter A <a@a> 1792454400 +0000\n\nx\n"
    commit = repositories.git(repository, "hash-object", "-t", "commit", "-w", "--stdin", data=made.encode())
    repositories.git(repository, "update-ref", "refs/heads/main", commit)

    error = fetcher.refuse(GitSource(url=server.url("bomb.git")))

    assert error.reason == Reason.SOURCE_TOO_LARGE
    assert "files" in error.message


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("of", ["npm", "sdist"])
def test_a_link_in_a_package_is_refused(
    fetcher: Fetcher, registry: package_registry.Registry, of: str, kind: bytes
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/config")
        info.type, info.linkname = kind, "/etc"
        archive.addfile(info)

    error = fetcher.refuse(publish(registry, of, buffer.getvalue()))

    assert error.reason == Reason.SOURCE_UNSAFE


def test_a_link_in_a_wheel_is_refused(fetcher: Fetcher, registry: package_registry.Registry) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("demo/config")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc")

    assert fetcher.refuse(publish(registry, "wheel", buffer.getvalue())).reason == Reason.SOURCE_UNSAFE


@pytest.mark.parametrize("of", ["npm", "sdist", "wheel"])
def test_a_package_that_unpacks_to_gigabytes_is_refused_while_it_is_unpacked(
    fetcher: Fetcher, registry: package_registry.Registry, of: str
) -> None:
    buffer = io.BytesIO()
    if of == "wheel":
        deflated = (zipfile.ZIP_DEFLATED, True, 1)
        with zipfile.ZipFile(buffer, "w", *deflated) as zipped, zipped.open("huge", "w") as file:
            for _ in range(1024):
                file.write(bytes(1 << 20))
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
            info = tarfile.TarInfo("package/huge")
            info.size = 1 << 30
            archive.addfile(info, Zeros())

    error = fetcher.refuse(publish(registry, of, buffer.getvalue()))

    assert error.reason == Reason.SOURCE_TOO_LARGE
    assert fetcher.most < 200 << 20


def test_a_sparse_file_of_two_gigabytes_in_a_folder_is_refused(fetcher: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in SERVER.items():
        (folder / name).write_text(text)
    with (folder / "huge").open("wb") as file:
        file.truncate(2 << 30)

    assert fetcher.refuse(DirectorySource(directory=str(folder))).reason == Reason.SOURCE_TOO_LARGE
    assert fetcher.most < 64 << 20


def test_a_link_out_of_a_folder_and_what_is_no_file_are_refused(fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "odd").symlink_to("/etc")
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "odd")

    for folder in ("links", "pipes"):
        assert fetcher.refuse(DirectorySource(directory=str(tmp_path / folder))).reason == Reason.SOURCE_UNSAFE


class Zeros(io.RawIOBase):
    """A file of nothing without end."""

    def read(self, size: int = -1, /) -> bytes:
        """Give so much of it."""
        return bytes(size)


def publish(registry: package_registry.Registry, of: str, content: bytes) -> Source:
    """Put an archive into the registry; gives what names it."""
    if of == "npm":
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        registry.npm("bomb", "1.0.0", {}, {"integrity": integrity})
        registry.documents["/bomb/-/1.0.0.tgz"] = content
        return NpmSource(package="bomb")
    name = "bomb-1.0-py3-none-any.whl" if of == "wheel" else "bomb-1.0.tar.gz"
    registry.pypi("bomb", {name: content})
    return PypiSource(package="bomb")
