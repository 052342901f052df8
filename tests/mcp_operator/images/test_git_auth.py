from __future__ import annotations

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from mcp_operator.images import git, git_auth, process
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, GitCredentials, GitSource
from mcp_operator.images.reasons import Reason
from sources import repositories, ssh
from sources.server import GitServer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.images.checkout import Checkout
    from mcp_operator.settings import Settings

pytestmark = pytest.mark.requirement("B-01")

USER, TOKEN = repositories.CREDENTIALS
RIGHT = GitCredentials(username=USER, token=TOKEN)


@pytest.fixture
def private(tmp_path: Path) -> Iterator[GitServer]:
    root = tmp_path / "repositories"
    repositories.create(root / repositories.PRIVATE, {"a.txt": (False, b"secret sources")})
    with serving(root) as running:
        yield running


@pytest.fixture
def ssh_server(tmp_path: Path) -> Iterator[ssh.SshServer]:
    root = tmp_path / "repositories"
    repositories.create(root / "demo.git", {"a.txt": (False, b"over ssh")})
    with ssh.serving(root, tmp_path / "sshd") as running:
        yield running


def clone(url: str, credentials: GitCredentials | None, settings: Settings, tmp_path: Path) -> Checkout:
    folder = tmp_path / "build" / "source"
    folder.mkdir(parents=True)
    return git.clone(GitSource(url=url, credentials=credentials), settings, folder, Budget(60))


def fail(url: str, credentials: GitCredentials | None, settings: Settings, tmp_path: Path) -> BuildError:
    with pytest.raises(BuildError) as caught:
        clone(url, credentials, settings, tmp_path)
    assert caught.value.hint
    return caught.value


def test_a_token_opens_a_private_repository_and_is_gone_afterwards(
    private: GitServer, settings: Settings, tmp_path: Path
) -> None:
    url = private.url(repositories.PRIVATE)
    checkout = clone(url, RIGHT, settings, tmp_path)

    assert (checkout.root / "a.txt").read_text() == "secret sources"
    assert checkout.commit == git.resolve(GitSource(url=url, credentials=RIGHT), settings)
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["source"]


def test_a_token_is_in_no_argument_and_no_variable(
    private: GitServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    modes: set[int] = set()
    real = process.run

    def watch(argv: list[str], **how: object) -> process.Finished:
        env = how["env"]
        assert isinstance(env, dict)
        seen.extend([*map(str, argv), *env.values()])
        home = env["HOME"]
        modes.update(path.stat().st_mode & 0o777 for path in Path(home).iterdir())
        return real(argv, **how)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(process, "run", watch)
    clone(private.url(repositories.PRIVATE), RIGHT, settings, tmp_path)

    assert seen
    assert not [text for text in seen if TOKEN in text]
    assert modes == {0o600, 0o700}


def test_a_wrong_token_is_said_without_it(private: GitServer, settings: Settings, tmp_path: Path) -> None:
    error = fail(private.url(repositories.PRIVATE), GitCredentials(token="wrong-token"), settings, tmp_path)

    assert error.reason == Reason.AUTHENTICATION_REQUIRED
    assert "wrong-token" not in f"{error.message} {error.hint} {error.log_tail}"


def test_a_private_repository_without_credentials_asks_for_them(
    private: GitServer, settings: Settings, tmp_path: Path
) -> None:
    error = fail(private.url(repositories.PRIVATE), None, settings, tmp_path)

    assert error.reason == Reason.AUTHENTICATION_REQUIRED
    assert "token" in error.hint


class _Thief(BaseHTTPRequestHandler):
    """Asks whoever comes for credentials and keeps them."""

    heard: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Redirecting(BaseHTTPRequestHandler):
    to = ""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.to}{self.path}")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_token_is_not_given_to_another_host_that_a_server_redirects_to(settings: Settings, tmp_path: Path) -> None:
    thief = ThreadingHTTPServer(("127.0.0.1", 0), _Thief)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting)
    _Redirecting.to = f"http://127.0.0.1:{thief.server_address[1]}"
    _Thief.heard.clear()
    threads = [threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05}) for each in (thief, server)]
    for thread in threads:
        thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/x.git"
        error = fail(url, GitCredentials(username=USER, token=TOKEN), settings, tmp_path)
    finally:
        for each in (thief, server):
            each.shutdown()
            each.server_close()
        for thread in threads:
            thread.join()

    assert error.reason == Reason.AUTHENTICATION_REQUIRED
    assert _Thief.heard
    assert not any(_Thief.heard)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Username for 'https://forge.test': ", "somebody"),
        ("Password for 'https://somebody@forge.test': ", "s3cret"),
        ("Password for 'https://some%40where@forge.test': ", "s3cret"),
        ("Password for 'https://somebody@evil.test': ", ""),
        ("Password for 'http://somebody@forge.test': ", ""),
        ("Password for 'https://forge.test@evil.test': ", ""),
        ("Username for 'https://forge.test.evil.test': ", ""),
        ("Are you sure you want to continue connecting (yes/no)? ", ""),
    ],
)
def test_only_questions_of_the_host_that_is_meant_are_answered(tmp_path: Path, prompt: str, answer: str) -> None:
    credentials = GitCredentials(username="somebody", token="s3cret")
    env = git_auth.environment(credentials, "https://forge.test/team/x.git", tmp_path)

    done = subprocess.run([env["GIT_ASKPASS"], prompt], capture_output=True, text=True, check=False, timeout=10)

    assert done.stdout == answer


def test_a_key_opens_a_repository_over_ssh(ssh_server: ssh.SshServer, settings: Settings, tmp_path: Path) -> None:
    # As a form or a Windows editor leaves it.
    key = ssh_server.key.replace("\n", "\r\n").rstrip()
    credentials = GitCredentials(ssh_key=key, known_hosts=ssh_server.known_hosts)

    checkout = clone(ssh_server.url("demo.git"), credentials, settings, tmp_path)

    assert (checkout.root / "a.txt").read_text() == "over ssh"
    assert checkout.commit == repositories.head(ssh_server.root / "demo.git")
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["source"]


def test_a_host_that_is_not_known_is_refused(ssh_server: ssh.SshServer, settings: Settings, tmp_path: Path) -> None:
    _, _, rest = ssh_server.known_hosts.partition(" ")
    credentials = GitCredentials(ssh_key=ssh_server.key, known_hosts=f"other.test {rest}")

    error = fail(ssh_server.url("demo.git"), credentials, settings, tmp_path)

    assert error.reason == Reason.AUTHENTICATION_REQUIRED
    assert "known host" in error.message


@pytest.mark.parametrize("key", ["not a key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END-----"])
def test_a_key_that_is_none_is_said(ssh_server: ssh.SshServer, settings: Settings, tmp_path: Path, key: str) -> None:
    credentials = GitCredentials(ssh_key=key, known_hosts=ssh_server.known_hosts)

    error = fail(ssh_server.url("demo.git"), credentials, settings, tmp_path)

    assert error.reason == Reason.AUTHENTICATION_REQUIRED


@pytest.mark.parametrize(
    ("credentials", "url"),
    [
        (GitCredentials(ssh_key="k"), "ssh://git@forge.test/x"),
        (GitCredentials(token="t"), "ssh://git@forge.test/x"),
        (GitCredentials(ssh_key="k", known_hosts="h"), "https://forge.test/x"),
        (GitCredentials(token="a\nb"), "https://forge.test/x"),
        (GitCredentials(username="a\nb", token="t"), "https://forge.test/x"),
    ],
)
def test_credentials_that_do_not_fit_the_url_are_refused_before_anybody_is_asked(
    credentials: GitCredentials, url: str, settings: Settings
) -> None:
    with pytest.raises(BuildError) as caught:
        git.resolve(GitSource(url=url, credentials=credentials), settings)

    assert caught.value.reason == Reason.INVALID_SOURCE


def test_credentials_are_not_shown() -> None:
    source = GitSource(url="https://forge.test/x", credentials=GitCredentials(token="s3cret", ssh_key="k3y"))

    assert "s3cret" not in repr(source)
    assert "k3y" not in repr(source.credentials)
