"""No spelling of a source slips past a glob that caps it, nor through one that allows another."""

from __future__ import annotations

import pytest
from examples import server
from mcp_operator import source_globs
from mcp_operator.source_globs import Name

pytestmark = pytest.mark.requirement("O-20")

REPOSITORY = "https://github.com/acme/tools"
SPELLINGS = (
    "https://github.com/acme/tools",
    "https://github.com/acme/tools.git",
    "https://github.com/acme/tools/",
    "https://github.com/acme/tools.git/",
    "https://GitHub.COM/acme/tools",
    "https://github.com./acme/tools",
    "https://github.com:443/acme/tools",
    "https://github.com//acme//tools",
    "https://github.com/./acme/x/../tools",
    "https://github.com/%61cme/tools",
    "https://github.com/acme%2ftools",
    "https://github.com/ACME/Tools.GIT",
    "http://github.com/acme/tools",
    "ssh://git@github.com/acme/tools.git",
    "ssh://git@github.com:22/acme/tools",
    "ssh://git@github.com:443/acme/tools",
    "https://github.com:8443/acme/tools?x=1",
    # git and curl decode a host, and then take these letters for plain ones
    "https://%67ithub.com/acme/tools",
    "ssh://git@github%2Ecom/acme/tools",
    "https://%EF%BD%87ithub.com/acme/tools",
    "ssh://git@[github.com]/acme/tools",
    "ssh://github.com%2F@example.org/acme/tools",
    "ssh://[github.com]@example.org/acme/tools",
    "ssh://git@github.com%3A22/acme/tools",
)


def git(url: str) -> Name:
    return Name(kind="git", text=url)


def remote(url: str) -> Name:
    return Name(kind="remote", text=url)


@pytest.mark.parametrize("url", SPELLINGS)
@pytest.mark.parametrize(
    "glob",
    [
        REPOSITORY,
        f"{REPOSITORY}.git",
        "https://github.com/acme/*",
        "https://GitHub.com/acme/",
        "ssh://git@github.com/acme/*",
        "git@github.com:acme/*",
        "github.com/acme/*",
        "https://github.com",
        "*://github.com/acme/*",
        "*",
    ],
)
def test_a_repository_cannot_be_spelt_past_a_glob_that_targets_it(url: str, glob: str) -> None:
    wanted = glob.rstrip("/") + "/*" if glob.endswith("/acme/") else glob
    assert source_globs.targets(wanted, git(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com.evil.example/acme/tools",
        "https://evil.example/github.com/acme/tools",
        "https://github.com/acme-evil/tools",
        "https://gitlab.com/acme/tools",
    ],
)
def test_another_repository_is_not_targeted(url: str) -> None:
    assert not source_globs.targets("https://github.com/acme/*", git(url))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://github.com/acme/tools", True),
        ("https://GitHub.com/acme/tools.git", True),
        ("https://github.com:443/acme/tools", True),
        ("ssh://git@github.com/acme/tools", True),
        ("http://github.com/acme/tools", False),
        ("https://github.com:8443/acme/tools", False),
        ("https://github.com/ACME/tools", False),
        ("https://github.com/evil/../acme/tools", False),
        ("https://github.com/acme/../evil/tools", False),
        ("https://github.com/acme/%2e%2e/evil/tools", False),
        ("https://github.com/acme/..%2fevil/tools", False),
        ("https://github.com/acme/%252e%252e/evil", False),
        ("https://evil.example?@github.com/acme/tools", False),
        ("https://evil.example#@github.com/acme/tools", False),
        ("https://evil.example\\@github.com/acme/tools", False),
        ("https://github.com@evil.example/acme/tools", False),
        ("https://evil.example/github.com/acme/tools", False),
        ("https://github.com.evil.example/acme/tools", False),
    ],
)
def test_an_allowed_repository_must_be_the_very_one(url: str, *, allowed: bool) -> None:
    assert source_globs.allows("git:https://github.com/acme/*", git(url)) is allowed


@pytest.mark.parametrize(
    "authority",
    [
        "elsewhere.example%2F@github.com",  # git decodes first and then looks for the slash
        "git@elsewhere.example%2F@github.com",
        "[2001:db8::bad]@github.com",  # and takes what is in brackets
        "git@[2001:db8::bad]@github.com",
        "git%40elsewhere.example%2f@github.com",
        "a@b@github.com",
        "git@github.com%00",
    ],
)
def test_nothing_before_a_host_leads_to_another_one(authority: str) -> None:
    url = f"ssh://{authority}/acme/tools"
    assert not source_globs.allows("git:https://github.com/acme/*", git(url))
    assert not source_globs.allows("git:*://*/*", git(url))
    assert source_globs.targets("https://elsewhere.example/*", git(url))


def test_a_wildcard_in_a_host_does_not_reach_into_the_path() -> None:
    glob = "git:https://*.example.com/*"
    assert source_globs.allows(glob, git("https://code.example.com/a/b"))
    assert not source_globs.allows(glob, git("https://evil.example/x.example.com/a"))


@pytest.mark.parametrize(
    ("glob", "name", "allowed"),
    [
        ("*", git(REPOSITORY), True),
        ("git:*", git(REPOSITORY), True),
        ("*:https://github.com", git(REPOSITORY), True),
        ("npm:*", git(REPOSITORY), False),
        ("git:http://github.com/*", git("http://github.com/a"), True),
        ("git:http://github.com/*", git("https://github.com/a"), False),
        ("npm:@acme/*", Name(kind="npm", text="@acme/weather"), True),
        ("npm:@acme/*", Name(kind="npm", text="@acme-evil/weather"), False),
        ("pypi:acme-*", Name(kind="pypi", text="Acme_Weather"), True),
        ("pypi:acme.weather", Name(kind="pypi", text="acme--weather"), True),
        ("pypi:acme-*", Name(kind="pypi", text="acmeweather"), False),
        ("image:ghcr.io/acme/*", Name(kind="image", text="ghcr.io/acme/a:1@sha256:00"), True),
        ("image:ghcr.io/acme/*", Name(kind="image", text="GHCR.io/acme/a"), True),
        ("image:ghcr.io/acme/*", Name(kind="image", text="evil.example/ghcr.io/acme/a"), False),
        ("image:nginx", Name(kind="image", text="index.docker.io/library/nginx:1"), True),
        ("image:docker.io/acme/*", Name(kind="image", text="acme/a"), True),
        ("image:acme/*", Name(kind="image", text="registry-1.docker.io/acme/a"), True),
        ("image:*.example.com/*", Name(kind="image", text="r.example.com/a/b"), True),
        ("image:*.example.com/*", Name(kind="image", text="evil.test/r.example.com/b"), False),
        ("image:localhost:5000/*", Name(kind="image", text="localhost:5000/a:1"), True),
        ("image:nginx:1.25", Name(kind="image", text="nginx:1.25"), False),
        ("remote:https://mcp.example.com/mcp", remote("https://mcp.example.com/mcp"), True),
        ("remote:https://mcp.example.com/mcp", remote("https://mcp.example.com/mcp?team=a"), False),
        ("remote:https://mcp.example.com/mcp", remote("https://mcp.example.com/mcp.git"), False),
        ("remote:https://*", remote("https://mcp.example.com/mcp?team=a"), True),
        ("remote:https://*", remote("http://mcp.example.com/mcp"), False),
        ("remote:https://*", remote("https://[fd00::1]/mcp"), True),
        ("remote:https://*:8443/*", remote("https://mcp.example.com:8443/mcp"), True),
    ],
)
def test_globs_allow_by_kind_and_name(glob: str, name: Name, *, allowed: bool) -> None:
    assert source_globs.allows(glob, name) is allowed


def test_a_tag_in_a_glob_caps_every_tag_and_allows_none() -> None:
    assert source_globs.targets("nginx:1.25", Name(kind="image", text="docker.io/library/nginx:2"))


@pytest.mark.parametrize(
    "reference",
    ["ghcr.io/acme/a", "GHCR.io:443/acme/a:1", "ghcr.io./acme/a", f"ghcr.io/acme/a@sha256:{'0' * 64}"],
)
def test_an_image_cannot_be_spelt_past_a_glob_that_targets_it(reference: str) -> None:
    assert source_globs.targets("ghcr.io/acme/*", Name(kind="image", text=reference))


@pytest.mark.parametrize("reference", ["nginx", "docker.io:443/nginx", "index.docker.io/library/nginx:1"])
def test_docker_hub_has_many_names(reference: str) -> None:
    assert source_globs.targets("nginx", Name(kind="image", text=reference))


def test_a_query_does_not_hide_a_remote_server_from_its_ceiling() -> None:
    assert source_globs.targets("https://mcp.example.com/mcp", remote("https://mcp.example.com/MCP?x=1#y"))


@pytest.mark.parametrize(
    ("glob", "named"),
    [
        ("remote:http://tools.team.svc/*", True),
        ("remote:http://*.team.svc/*", False),
        ("remote:http://tools.tea?.svc/*", False),
        ("remote:*", False),
        ("*", False),
        ("remote:http://other.team.svc/*", False),
    ],
)
def test_a_host_is_named_only_without_a_wildcard(glob: str, *, named: bool) -> None:
    assert source_globs.names_host(glob, remote("http://tools.team.svc/mcp")) is named


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"git": {"url": REPOSITORY}}, f"git:{REPOSITORY}"),
        ({"npm": {"package": "@acme/weather", "version": "1"}}, "npm:@acme/weather"),
        ({"pypi": {"package": "weather"}}, "pypi:weather"),
        ({"image": {"reference": "ghcr.io/acme/a:1"}}, "image:ghcr.io/acme/a:1"),
        ({"remote": {"url": "https://mcp.example.com/mcp"}}, "remote:https://mcp.example.com/mcp"),
    ],
)
def test_every_kind_of_source_has_a_name_that_can_be_read_back(source: dict[str, object], text: str) -> None:
    name = source_globs.name_of(server(source=source).spec)
    assert str(name) == text
    assert source_globs.parse(text) == name


@pytest.mark.parametrize("text", ["", "git", "git:", "svn:x", "None"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not KIND:SOURCE"):
        source_globs.parse(text)
