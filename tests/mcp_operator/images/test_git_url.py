from __future__ import annotations

import pytest
from mcp_operator.images import git_url
from mcp_operator.images.contract import BuildError
from mcp_operator.images.reasons import Reason

PROTOCOLS = ("https", "ssh")


@pytest.mark.requirement("F-05")
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "ext::sh -c id",
        "ext::sh%20-c%20id",
        "/srv/repository",
        "../repository",
        "git@example.com:team/server",
        "git://example.com/server",
        "HTTPS://example.com/server",
        "fd::17",
    ],
)
def test_only_the_allowed_protocols_are_let_through(url: str) -> None:
    with pytest.raises(BuildError) as caught:
        git_url.remote(url, PROTOCOLS, ())

    assert caught.value.reason in (Reason.PROTOCOL_NOT_ALLOWED, Reason.INVALID_SOURCE)


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "-uhttps://example.com",
        "https://example.com/a b",
        "https://example.com/a\nb",
        "https://",
        "https://user:password@example.com/x",
        "https://token@example.com/x",
        "https://example.com:port/x",
        "ssh://-oProxyCommand=id/x",
        "ssh://git@-oProxyCommand=id/x",
        "https://[::1/x",
    ],
)
def test_a_url_that_is_an_option_or_holds_credentials_is_refused(url: str) -> None:
    with pytest.raises(BuildError) as caught:
        git_url.remote(url, PROTOCOLS, ())

    assert caught.value.reason == Reason.INVALID_SOURCE
    assert "password" not in caught.value.message
    assert caught.value.hint


@pytest.mark.requirement("F-05")
@pytest.mark.parametrize(
    "host", ["%67ithub.com", "%EF%BD%87ithub.com", "github%2Ecom", "a;b.example", "a,b.example", "[github.com]"]
)
@pytest.mark.parametrize("scheme", ["https://", "ssh://git@"])
def test_a_host_that_git_would_read_as_another_one_is_refused(scheme: str, host: str) -> None:
    with pytest.raises(BuildError) as caught:
        git_url.remote(f"{scheme}{host}/team/server", PROTOCOLS, ())

    assert caught.value.reason == Reason.INVALID_SOURCE


@pytest.mark.requirement("F-05")
@pytest.mark.parametrize(
    "user", ["example.org%2F", "git@example.org%2F", "[2001:db8::bad]", "git@[2001:db8::bad]", "git%40x", "a@b"]
)
def test_a_user_that_git_would_read_as_a_host_is_refused(user: str) -> None:
    with pytest.raises(BuildError) as caught:
        git_url.remote(f"ssh://{user}@example.com/team/server", PROTOCOLS, ())

    assert caught.value.reason == Reason.INVALID_SOURCE


@pytest.mark.parametrize("host", ["git_1.example.com", "example.com.", "10.0.0.1:8443", "[fd00::1]:8443", "near"])
def test_usual_hosts_are_let_through(host: str) -> None:
    assert git_url.remote(f"https://{host}/team/server", PROTOCOLS, ()).url == f"https://{host}/team/server"


def test_a_user_without_password_is_usual_for_ssh() -> None:
    assert git_url.remote("ssh://git@example.com/team/server", PROTOCOLS, ()).protocol == "ssh"


def test_the_longest_mirror_prefix_wins_and_only_its_protocol_is_used() -> None:
    mirrors = ("https://example.com/=https://mirror/", "https://example.com/team/=http://near:8080/t/")

    remote = git_url.remote("https://example.com/team/server", PROTOCOLS, mirrors)

    assert remote.url == "http://near:8080/t/server"
    assert remote.protocol == "http"
    assert remote.original == "https://example.com/team/server"


def test_a_url_without_mirror_is_asked_itself() -> None:
    assert git_url.remote("https://a.example/x", PROTOCOLS, ("https://b=https://c",)).url == "https://a.example/x"
