"""Published packages arrive whole or not at all."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from sources import downloads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        pass


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "registry").mkdir()
    handler = partial(Quiet, directory=str(tmp_path / "registry"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def archive(*members: tuple[str, int, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, mode, content in members:
            info = tarfile.TarInfo(name)
            info.mode, info.size = mode, len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_package_is_fetched_once_and_then_comes_from_the_cache(registry: str, tmp_path: Path) -> None:
    (tmp_path / "registry" / "a.tgz").write_bytes(b"content")
    package = downloads.Package(f"{registry}/a.tgz", hashlib.sha256(b"content").hexdigest(), "src/a")
    assert downloads.fetch(package, tmp_path / "cache") == b"content"
    (tmp_path / "registry" / "a.tgz").unlink()
    assert downloads.fetch(package, tmp_path / "cache") == b"content"


def test_a_package_with_another_hash_is_refused_and_not_kept(registry: str, tmp_path: Path) -> None:
    (tmp_path / "registry" / "a.tgz").write_bytes(b"something else")
    package = downloads.Package(f"{registry}/a.tgz", hashlib.sha256(b"content").hexdigest(), "src/a")
    with pytest.raises(downloads.DownloadError, match="do not use it"):
        downloads.fetch(package, tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


def test_a_damaged_cache_is_fetched_again(registry: str, tmp_path: Path) -> None:
    (tmp_path / "registry" / "a.tgz").write_bytes(b"content")
    package = downloads.Package(f"{registry}/a.tgz", hashlib.sha256(b"content").hexdigest(), "src/a")
    downloads.fetch(package, tmp_path / "cache")
    next((tmp_path / "cache").iterdir()).write_bytes(b"cont")
    assert downloads.fetch(package, tmp_path / "cache") == b"content"


def test_a_missing_package_says_what_must_be_reachable(registry: str, tmp_path: Path) -> None:
    package = downloads.Package(f"{registry}/none.tgz", "0" * 64, "src/a")
    with pytest.raises(downloads.DownloadError, match=r"none\.tgz.*404.*must be reachable"):
        downloads.fetch(package, tmp_path)


def test_unpacking_drops_the_outer_folder_and_keeps_the_executable_bit() -> None:
    data = archive(("package/bin/run", 0o755, b"#!"), ("package/README", 0o644, b"r"), ("package/../../x", 0o644, b""))
    assert downloads.unpack(data) == {"bin/run": (True, b"#!"), "README": (False, b"r")}
