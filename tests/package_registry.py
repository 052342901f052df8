"""A package registry over HTTP that serves what a test puts into it: npm's documents and PyPI's simple index."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Registry(ThreadingHTTPServer):
    """Serves documents by path until it is shut down.

    Attributes:
        documents: Content by path; a number is a status, a text that starts with ``->`` a redirect.
        asked: Paths, in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.documents: dict[str, bytes | int | str] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def npm(
        self, name: str, version: str, files: Mapping[str, str], dist: Mapping[str, str] | None = None, **more: object
    ) -> bytes:
        """Publish a version of an npm package; gives its archive."""
        packed = tarball({f"package/{path}": text for path, text in files.items()})
        tarball_path = f"/{name}/-/{version}.tgz"
        self.documents[tarball_path] = packed
        known = self.documents.get(f"/{name}", b'{"versions": {}, "time": {}}')
        assert isinstance(known, bytes)
        document = json.loads(known)
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
        told = {"tarball": self.url + tarball_path, "integrity": integrity, **(dist or {})}
        document["versions"][version] = {"name": name, "version": version, "dist": told, **more}
        document["time"][version] = "2026-03-01T12:00:00.000Z"
        document["dist-tags"] = {"latest": version, **document.get("dist-tags", {})}
        self.documents[f"/{name}"] = json.dumps(document).encode()
        return packed

    def pypi(self, name: str, files: Mapping[str, bytes], *, as_json: bool = False, yanked: str = "") -> None:
        """Publish files of a PyPI package: their content by name."""
        entries = []
        for file, content in files.items():
            self.documents[f"/files/{file}"] = content
            entries.append((file, f"{self.url}/files/{file}", hashlib.sha256(content).hexdigest()))
        if as_json:
            listed = [
                {
                    "filename": file,
                    "url": url,
                    "hashes": {"sha256": digest},
                    "upload-time": "2026-03-01T12:00:00.5Z",
                    "yanked": file == yanked,
                }
                for file, url, digest in entries
            ]
            self.documents[f"/simple/{name}/"] = json.dumps({"meta": {"api-version": "1.1"}, "files": listed}).encode()
            return
        lines = [
            f'<a href="{url}#sha256={digest}" data-upload-time="2026-03-01T12:00:00Z"'
            + (" data-yanked=''>" if file == yanked else ">")
            + f"{file}</a>"
            for file, url, digest in entries
        ]
        self.documents[f"/simple/{name}/"] = f"<!DOCTYPE html><html><body>{'<br/>'.join(lines)}</body></html>".encode()


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        path = unquote(self.path)
        self.server.asked.append(path)
        found = self.server.documents.get(path, 404)
        if isinstance(found, str):
            self.send_response(302)
            self.send_header("Location", found.removeprefix("->"))
            self.end_headers()
            return
        self.send_response(found if isinstance(found, int) else 200)
        self.end_headers()
        if isinstance(found, bytes):
            self.wfile.write(found)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Registry]:
    """Serve for the time of the block."""
    with Registry() as registry:
        thread = threading.Thread(target=registry.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield registry
        finally:
            registry.shutdown()
            thread.join()


def tarball(files: Mapping[str, str]) -> bytes:
    """Pack files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def wheel(files: Mapping[str, str]) -> bytes:
    """Zip files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()
