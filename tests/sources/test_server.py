"""The git server behaves like a large host's: smart protocol, shallow, by commit, read-only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sources import repositories

if TYPE_CHECKING:
    from sources.server import GitServer

pytestmark = pytest.mark.requirement("F-05")

SECONDS = 30


def git(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**repositories.ISOLATED, "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(
        ["git", *arguments], cwd=cwd, env=environment, text=True, capture_output=True, check=False, timeout=SECONDS
    )


def clone(url: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return git("clone", "--quiet", *options, url, "clone", cwd=tmp_path)


def refused(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, timeout=SECONDS)  # noqa: S310 - the test's own server
    caught.value.close()
    return caught.value.code


def test_a_shallow_clone_has_the_newest_commit_only(git_server: GitServer, tmp_path: Path) -> None:
    repository = git_server.root / "weather.git"
    newest = repositories.commit(repository, {"README.md": "new\n"}, "change")
    done = clone(git_server.url("weather.git"), tmp_path, "--depth=1")
    assert done.returncode == 0, done.stderr
    assert git("rev-list", "HEAD", cwd=tmp_path / "clone").stdout.split() == [newest]


def test_any_commit_can_be_fetched_by_its_hash(git_server: GitServer, tmp_path: Path) -> None:
    repository = git_server.root / "weather.git"
    first = repositories.head(repository)
    repositories.commit(repository, {"README.md": "new\n"}, "change")
    git("init", "--quiet", cwd=tmp_path)
    done = git("fetch", "--quiet", "--depth=1", git_server.url("weather.git"), first, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert git("rev-parse", "FETCH_HEAD", cwd=tmp_path).stdout.strip() == first


def test_the_suffix_of_a_repository_may_be_left_out(git_server: GitServer, tmp_path: Path) -> None:
    assert clone(git_server.url("weather"), tmp_path).returncode == 0


def test_a_large_repository_comes_whole(git_server: GitServer, tmp_path: Path) -> None:
    content = os.urandom(3 * 2**20)  # more than any buffer on the way
    repositories.commit(git_server.root / "weather.git", {"blob": (False, content)}, "large")
    assert clone(git_server.url("weather.git"), tmp_path).returncode == 0
    assert (tmp_path / "clone" / "blob").read_bytes() == content


def test_pushing_is_refused(git_server: GitServer, tmp_path: Path) -> None:
    clone(git_server.url("weather.git"), tmp_path)
    done = git("push", git_server.url("weather.git"), "HEAD:other", cwd=tmp_path / "clone")
    assert done.returncode != 0
    assert "403" in done.stderr


@pytest.mark.parametrize("path", ["HEAD", "info/refs", "objects/info/packs", "config"])
def test_the_dumb_protocol_is_refused(git_server: GitServer, path: str) -> None:
    assert refused(git_server.url(f"weather.git/{path}")) in {403, 404}


def test_an_unknown_repository_is_not_found(git_server: GitServer, tmp_path: Path) -> None:
    done = clone(git_server.url("none.git"), tmp_path)
    assert done.returncode != 0
    assert "not found" in done.stderr


@pytest.mark.parametrize("name", ["private.git", "private", "/private.git", "%70rivate.git"])
def test_a_private_repository_asks_who_is_there(git_server: GitServer, name: str) -> None:
    assert refused(git_server.url(f"{name}/info/refs?service=git-upload-pack")) == 401


def test_credentials_open_the_private_repository(git_server: GitServer, tmp_path: Path) -> None:
    url = git_server.url("private.git").replace("//", "//{}:{}@".format(*repositories.CREDENTIALS))
    assert clone(url, tmp_path).returncode == 0
    wrong = url.replace(repositories.CREDENTIALS[1], "wrong")
    assert git("ls-remote", wrong, cwd=tmp_path).returncode != 0


def test_a_client_that_leaves_early_leaves_no_process(git_server: GitServer) -> None:
    address = git_server.server_address
    for _ in range(3):
        with socket.create_connection((str(address[0]), int(address[1])), timeout=SECONDS) as connection:
            connection.sendall(b"GET /weather.git/info/refs?service=git-upload-pack HTTP/1.1\r\n\r\n")
    assert git("ls-remote", git_server.url("weather.git"), cwd=git_server.root).returncode == 0


def test_the_command_serves_until_terminated_and_removes_its_traces(git_server: GitServer, tmp_path: Path) -> None:
    # Published packages need the network; their place is taken so that only own servers are made.
    repositories.create(tmp_path / "root" / repositories.PUBLISHED, {"README.md": (False, b"stand-in\n")})
    pid_file = tmp_path / "pid"
    command = [sys.executable, "-m", "sources", "serve", "--root", str(tmp_path / "root"), "--pid-file", str(pid_file)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            urls = [process.stdout.readline().strip() for _ in repositories.make_own(git_server.root)]
            weather = next(url for url in urls if url.endswith("/weather.git"))
            assert git("ls-remote", weather, cwd=tmp_path).returncode == 0
            assert pid_file.read_text().split()[0] == str(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
    assert not pid_file.exists()
