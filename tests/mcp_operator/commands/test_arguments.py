from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest
from mcp_operator.commands import arguments
from mcp_operator.images.contract import DirectorySource, GitSource, NpmSource, PypiSource

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.images.contract import BuildRequest, Source

pytestmark = pytest.mark.requirement("B-23")


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments.add(parser)
    return parser.parse_args(arguments.joined(words))


def request(*words: str) -> BuildRequest:
    return arguments.request(parsed(*words))


@pytest.mark.parametrize(
    ("words", "source"),
    [
        (("--npm", "demo"), NpmSource(package="demo")),
        (("--npm", "demo@1.0.0"), NpmSource(package="demo", version="1.0.0")),
        (("--npm", "@a/demo"), NpmSource(package="@a/demo")),
        (("--npm", "@a/demo@next"), NpmSource(package="@a/demo", version="next")),
        (("--pypi", "demo"), PypiSource(package="demo")),
        (("--pypi", "demo==1.0"), PypiSource(package="demo", version="1.0")),
        (("--git", "https://h/x"), GitSource(url="https://h/x")),
        (
            ("--git", "https://h/x", "--ref", "main", "--path", "a"),
            GitSource(url="https://h/x", branch="main", path="a"),
        ),
        (("--git", "https://h/x", "--ref", "a" * 40), GitSource(url="https://h/x", commit="a" * 40)),
        (("--git", "https://h/x", "--ref", "refs/tags/v1"), GitSource(url="https://h/x", tag="v1")),
        (("--git", "https://h/x", "--ref", "refs/heads/b"), GitSource(url="https://h/x", branch="b")),
        (("--git", "git@forge.test:team/x.git"), GitSource(url="ssh://git@forge.test/team/x.git")),
        (("--git", "forge.test:x"), GitSource(url="ssh://forge.test/x")),
        (("--git", "https://h/x", "--recurse-submodules"), GitSource(url="https://h/x", recurse_submodules=True)),
        (("--git", "https://h/x", "--lfs"), GitSource(url="https://h/x", lfs=True)),
    ],
)
def test_a_source_is_what_the_options_say(words: tuple[str, ...], source: Source) -> None:
    assert request(*words).source == source


def test_a_folder_is_meant_from_where_the_command_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert request("--dir", ".").source == DirectorySource(directory=str(tmp_path))


def test_a_laptop_needs_no_repository() -> None:
    found = request("--npm", "@a/My_Demo")

    assert found.repository == f"mcp-{found.deployment_id}"
    assert found.deployment_id.startswith("a-my_demo-")
    assert (found.tags, found.push, found.verify, found.keep_older) == (("latest",), False, True, True)
    assert found.installation == arguments.INSTALLATION


def test_one_source_has_one_owner_whatever_its_version() -> None:
    owners = {request("--npm", name).uid for name in ("demo", "demo@1.0.0", "demo@2.0.0")}

    assert len(owners) == 1
    assert request("--npm", "other").uid not in owners


def test_what_shapes_the_image_and_its_handshake_is_passed_on() -> None:
    found = request(
        *("--git", "https://h/x", "--repository", "r.test/x", "--push", "--tag", "a", "--tag", "b"),
        *("--arg", "-v", "--arg", "--x", "--env", "A=b=c", "--env", "E="),
        *("--runtime", "node", "--command", "node 'a b.js'"),
        *("--system-package", "git", "--build-arg", "B=1", "--platform", "linux/arm64", "--no-verify"),
        *("--timeout", "5", "--push-timeout", "6", "--deployment-id", "ns-x-1"),
    )  # fmt: skip

    assert (found.repository, found.push, found.tags) == ("r.test/x", True, ("a", "b"))
    assert (found.args, found.env) == (("-v", "--x"), {"A": "b=c", "E": ""})
    assert (found.runtime, found.command) == ("node", ("node", "a b.js"))
    assert (found.system_packages, found.build_args, found.platforms) == (("git",), {"B": "1"}, ("linux/arm64",))
    assert (found.verify, found.timeout, found.push_timeout, found.deployment_id) == (False, 5, 6, "ns-x-1")


def test_a_dockerfile_that_is_named_is_built() -> None:
    found = request("--dir", ".", "--dockerfile", "docker/Dockerfile")

    assert (found.runtime, found.dockerfile) == ("dockerfile", "docker/Dockerfile")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--npm", "x", "--push"), "--repository"),
        (("--npm", "x", "--ref", "v1"), "--ref"),
        (("--pypi", "x", "--git-token-file", "t"), "--git-token-file"),
        (("--npm", "x", "--path", "a"), "--path"),
        (("--npm", "x", "--env", "s3cret-without-a-name"), "NAME=VALUE"),
        (("--npm", "x", "--env", "1A=b"), "NAME=VALUE"),
        (("--npm", "x", "--platform", "arm64"), "--platform"),
        (("--npm", "x", "--command", "node 'x"), "--command"),
        (("--git", "https://h/x", "--git-token-file", "/absent/token"), "/absent/token"),
    ],
)
def test_options_that_do_not_go_together_are_said(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(arguments.UsageError, match=said):
        request(*words)


@pytest.mark.parametrize(
    "words", [(), ("--npm", "x", "--pypi", "y"), ("--npm", "x", "--timeout", "0"), ("--npm", "x", "--runtime", "cobol")]
)
def test_wrong_options_end_with_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(*words)
    assert caught.value.code == 2


@pytest.mark.requirement("B-01")
def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(arguments.TOKEN_VARIABLE, "from-environment")
    (tmp_path / "token").write_text("from-file\n")

    found = [
        request("--git", "https://h/x", "--git-user", "me").source,
        request("--git", "https://h/x", "--git-token-file", str(tmp_path / "token")).source,
        request("--git", "ssh://git@h/x").source,
    ]

    tokens = [source.credentials and source.credentials.token for source in found if isinstance(source, GitSource)]
    assert tokens == ["from-environment", "from-file", None]
    assert "from-" not in repr(found)


@pytest.mark.requirement("B-01")
def test_a_key_needs_known_hosts(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    (tmp_path / "hosts").write_text("h")
    words = ("--git", "ssh://git@h/x", "--git-key-file", str(tmp_path / "key"))

    with pytest.raises(arguments.UsageError, match="known-hosts"):
        request(*words)
    source = request(*words, "--git-known-hosts", str(tmp_path / "hosts")).source

    assert isinstance(source, GitSource)
    assert source.credentials is not None
    assert (source.credentials.ssh_key, source.credentials.known_hosts) == ("k", "h")
