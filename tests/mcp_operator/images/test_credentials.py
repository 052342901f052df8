from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest
from lab.processes import identity, poll
from mcp_operator.images import credentials
from mcp_operator.images.contract import BuildError, RegistryAuth
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-21")

SECRET = "s3cr3t-of-the-test"
AUTH = base64.b64encode(f"ann:{SECRET}".encode()).decode()
ANN = RegistryAuth(username="ann", password=SECRET)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def configure(tmp_path: Path, **config: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))


def helper(tmp_path: Path, script: str) -> None:
    path = tmp_path / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_a_configuration_there_are_none(environ: dict[str, str]) -> None:
    assert credentials.find("ghcr.io/a/b", environ) is None


def test_the_configuration_is_in_the_home_folder_by_default(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    configure(tmp_path / ".docker", auths={"ghcr.io": {"auth": AUTH}})

    assert credentials.find("ghcr.io/a/b:1", {"HOME": str(tmp_path)}) == ANN


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ghcr.io", "ghcr.io/a/b"),
        ("https://ghcr.io", "ghcr.io/a/b"),
        ("https://ghcr.io/v2/", "ghcr.io/a/b"),
        ("https://index.docker.io/v1/", "a/b"),
        ("docker.io", "docker.io/a/b"),
        ("registry-1.docker.io", "node"),
        ("r.example.com:5000", "r.example.com:5000/a/b"),
        ("*.example.com", "r.example.com/a/b"),
        ("ghcr.io/a", "ghcr.io/a/b"),
    ],
)
def test_entries_are_found_under_all_the_keys_that_docker_and_kubelet_write(key: str, name: str) -> None:
    assert credentials.from_secret(json.dumps({"auths": {key: {"auth": AUTH}}}).encode(), name) == ANN


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ghcr.io", "evil.io/a/b"),
        ("ghcr.io", "ghcr.io.evil.io/a/b"),
        ("ghcr.io", "ghcr.io:8443/a/b"),
        ("ghcr.io/a", "ghcr.io/ab/c"),
        ("*.example.com", "a.b.example.com/x"),
        ("*.example.com", "example.com/x"),
        ("*", "ghcr.io/a/b"),
    ],
)
def test_credentials_never_go_to_another_registry(key: str, name: str) -> None:
    assert credentials.from_secret(json.dumps({"auths": {key: {"auth": AUTH}}}).encode(), name) is None


def test_the_longest_path_wins() -> None:
    entries = {"ghcr.io": {"username": "all", "password": "x"}, "ghcr.io/a": {"auth": AUTH}}
    assert credentials.from_secret(json.dumps({"auths": entries}).encode(), "ghcr.io/a/b") == ANN


def test_user_and_password_may_stand_by_themselves_and_a_token_may_stand_for_both() -> None:
    entries = {"a.io": {"username": "ann", "password": SECRET}, "b.io": {"identitytoken": SECRET, "auth": AUTH}}
    document = json.dumps({"auths": entries}).encode()

    assert credentials.from_secret(document, "a.io/x") == ANN
    token = credentials.from_secret(document, "b.io/x")
    assert token == RegistryAuth(username=credentials.IDENTITY_TOKEN, password=SECRET)
    assert credentials.identity(token) == "the holder of an identity token"
    assert credentials.identity(ANN) == "ann"


@pytest.mark.parametrize("entry", [{}, {"auth": "%%%"}, {"auth": ""}, {"username": "ann"}, "text", {"auth": "YW5u"}])
def test_an_entry_that_says_nothing_is_none(entry: object) -> None:
    assert credentials.from_secret(json.dumps({"auths": {"a.io": entry}}).encode(), "a.io/x") is None


@pytest.mark.parametrize(
    "text", [f'{{"auths": {SECRET}', "[]", '{"auths": [1]}', "", '{"auths":{"a.io":{"auth":"\ud800']
)
def test_a_document_of_another_form_is_an_error_that_does_not_quote_it(text: str) -> None:
    with pytest.raises(BuildError) as caught:
        credentials.from_secret(text.encode(errors="surrogatepass"), "a.io/x")

    error = caught.value
    assert error.reason == Reason.REGISTRY_AUTHENTICATION
    assert SECRET not in f"{error.message} {error.hint} {error.log_tail} {error.__cause__} {error.__context__}"
    assert "docker login" in error.hint


def test_a_secret_runs_no_helper(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", environ["PATH"])
    helper(tmp_path, f"touch {tmp_path}/ran")
    document = {"credsStore": "test", "credHelpers": {"a.io": "test"}, "auths": {}}

    assert credentials.from_secret(json.dumps(document).encode(), "a.io/x") is None
    assert not (tmp_path / "ran").exists()


def test_a_helper_is_asked_on_its_stdin_and_has_precedence(tmp_path: Path, environ: dict[str, str]) -> None:
    configure(tmp_path, credHelpers={"a.io": "test"}, auths={"a.io": {"username": "other", "password": "x"}})
    helper(
        tmp_path,
        f'echo "$@" >{tmp_path}/argv; cat >{tmp_path}/asked; echo \'{{"Username":"ann","Secret":"{SECRET}"}}\'',
    )

    assert credentials.find("a.io/x", environ) == ANN
    assert (tmp_path / "argv").read_text() == "get\n"
    assert (tmp_path / "asked").read_text() == "a.io"


def test_the_store_is_asked_for_docker_hub_by_its_old_name(tmp_path: Path, environ: dict[str, str]) -> None:
    configure(tmp_path, credsStore="test")
    helper(tmp_path, f'cat >{tmp_path}/asked; echo \'{{"Username":"ann","Secret":"{SECRET}"}}\'')

    assert credentials.find("ann/tool", environ) == ANN
    assert (tmp_path / "asked").read_text() == "https://index.docker.io/v1/"


def test_what_a_store_does_not_have_is_looked_up_in_the_file(tmp_path: Path, environ: dict[str, str]) -> None:
    configure(tmp_path, credsStore="test", auths={"a.io": {"auth": AUTH}})
    helper(tmp_path, "echo 'credentials not found in native keychain'; exit 1")

    assert credentials.find("a.io/x", environ) == ANN


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"echo {SECRET}; echo locked >&2; exit 3", "locked"),
        (f"echo {SECRET}", "gave no credentials"),
        ("echo '[]'", "gave no credentials"),
    ],
)
def test_a_helper_that_fails_is_named_and_its_output_is_not_quoted(
    tmp_path: Path, environ: dict[str, str], script: str, said: str
) -> None:
    configure(tmp_path, credsStore="test")
    helper(tmp_path, script)

    with pytest.raises(BuildError, match=said) as caught:
        credentials.find("a.io/x", environ)
    assert SECRET not in f"{caught.value.message} {caught.value.hint} {caught.value.log_tail}"


@pytest.mark.parametrize(
    ("name", "said"), [("absent", "is not installed"), ("../test", "cannot be one"), ("x; touch y", "cannot be one")]
)
def test_only_helpers_that_are_installed_are_run(tmp_path: Path, environ: dict[str, str], name: str, said: str) -> None:
    configure(tmp_path, credsStore=name)

    with pytest.raises(BuildError, match=said):
        credentials.find("a.io/x", environ)


def test_a_helper_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "HELPER_SECONDS", 0.3)
    configure(tmp_path, credsStore="test")
    helper(tmp_path, "sleep 1000 & echo $! >$(dirname $0)/pid; wait")

    with pytest.raises(BuildError, match="did not answer"):
        credentials.find("a.io/x", environ)
    assert poll(lambda: identity(int((tmp_path / "pid").read_text())) is None, 5)


def test_a_configuration_that_cannot_be_read_is_said(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "config.json").mkdir()

    with pytest.raises(BuildError, match="cannot be read"):
        credentials.find("a.io/x", environ)
