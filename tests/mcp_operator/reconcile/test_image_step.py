from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from fake_builder import BOUND, DIGEST, failure
from mcp_operator.images.contract import RegistryAuth, Step
from mcp_operator.images.existing import ImageRequest
from mcp_operator.jobs import State
from mcp_operator.policies import CREDENTIALS_RECHECK
from mcp_operator.reconcile.revisions import INTERVAL

if TYPE_CHECKING:
    from server_world import World

IMAGE = {"image": {"reference": "registry.example.com/team/weather:1"}}


def docker_config(host: str, username: str, password: str) -> dict[str, bytes]:
    """Give the data of a Secret of type ``kubernetes.io/dockerconfigjson``."""
    packed = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {".dockerconfigjson": json.dumps({"auths": {host: {"auth": packed}}}).encode()}


# --- images that are there already


@pytest.mark.requirement("O-01")
def test_an_image_is_tried_out_by_its_digest_and_agents_get_the_digest(world: World) -> None:
    uid = world.apply(source=IMAGE)
    world.build(uid)
    (request,) = world.builder.requests
    assert isinstance(request, ImageRequest)
    assert request.reference == f"registry.example.com/team/weather@{DIGEST}"
    assert world.status["image"]["reference"] == request.reference
    assert world.status["source"]["revision"] == DIGEST
    assert world.status["source"]["tag"] == "1"
    assert world.status["toolCount"] == 2
    assert [world.condition(kind)[0] for kind in ("SourceReady", "Verified", "Ready")] == ["True"] * 3
    assert [world.condition(kind)[0] for kind in ("Built", "Pushed")] == ["absent"] * 2


@pytest.mark.requirement("O-01")
def test_a_tag_that_was_moved_is_tried_out_anew_after_a_while(world: World) -> None:
    uid = world.apply(source=IMAGE)
    world.build(uid)
    world.builder.image_digest = "sha256:" + "e" * 64
    world.look()
    assert len(world.builder.requests) == 1
    world.clock.forward(INTERVAL)
    world.build(uid)
    assert world.status["source"]["revision"] == "sha256:" + "e" * 64


@pytest.mark.requirement("O-01")
def test_an_image_that_is_named_by_its_digest_needs_no_question(world: World) -> None:
    world.build(world.apply(source={"image": {"reference": f"registry.example.com/weather@{DIGEST}"}}))
    assert world.builder.questions == 0
    assert world.condition("Ready") == ("True", "Succeeded")


@pytest.mark.requirement("O-01")
def test_an_image_that_is_not_there_says_that_it_may_be_private(world: World) -> None:
    world.builder.image_digest = None
    world.apply(source=IMAGE)
    world.look()
    assert world.condition("SourceReady") == ("False", "ImageNotFound")
    assert "spec.source.image.pullSecretRef" in world.message("Ready")


@pytest.mark.requirement("O-01", "O-05")
def test_a_private_image_is_asked_for_and_pulled_with_the_namespaces_own_secret(world: World) -> None:
    world.cluster.secrets["team", "pull"] = docker_config("registry.example.com", "ann", "hunter2hunter2")
    world.cluster.give("Secret", "pull", ".dockerconfigjson")
    source = {"image": {**IMAGE["image"], "pullSecretRef": {"name": "pull"}}}
    world.build(world.apply(source=source))
    request = world.builder.requests[0]
    assert isinstance(request, ImageRequest)
    assert request.auth == RegistryAuth(username="ann", password="hunter2hunter2")
    assert world.builder.auths == [request.auth]
    assert "hunter2" not in str(world.cluster.objects) + repr(request)


@pytest.mark.requirement("O-01", "O-05")
def test_what_failed_with_a_wrong_secret_is_tried_again_with_another_one_and_not_with_the_same(world: World) -> None:
    world.cluster.secrets["team", "pull"] = docker_config("registry.example.com", "ann", "wrong")
    world.cluster.give("Secret", "pull", version="1")
    world.builder.error = failure("RegistryAuthFailed", step=Step.FETCH)
    uid = world.apply(source={"image": {**IMAGE["image"], "pullSecretRef": {"name": "pull"}}})
    world.build(uid)
    for _ in range(2):
        assert world.look() == CREDENTIALS_RECHECK
    assert len(world.builder.requests) == 1
    world.builder.error = None
    world.cluster.secrets["team", "pull"] = docker_config("registry.example.com", "ann", "right")
    world.cluster.give("Secret", "pull", version="2")
    world.build(uid)
    request = world.builder.requests[-1]
    assert isinstance(request, ImageRequest)
    assert request.auth == RegistryAuth(username="ann", password="right")
    assert world.condition("Ready") == ("True", "Succeeded")
    assert "credentials" not in world.status["build"]


@pytest.mark.requirement("O-01")
def test_a_pull_secret_without_credentials_for_the_registry_says_so(world: World) -> None:
    world.cluster.secrets["team", "pull"] = docker_config("other.example.com", "ann", "x")
    world.cluster.give("Secret", "pull", ".dockerconfigjson")
    world.apply(source={"image": {**IMAGE["image"], "pullSecretRef": {"name": "pull"}}})
    world.look()
    assert world.condition("SourceReady") == ("False", "SecretInvalid")
    assert "it has no credentials for registry.example.com" in world.message("Ready")


@pytest.mark.requirement("O-01", "O-02")
@pytest.mark.parametrize(
    ("step", "kind"), [(Step.FETCH, "SourceReady"), (Step.BUILD, "SourceReady"), (Step.VERIFY, "Verified")]
)
def test_an_image_that_cannot_be_pulled_or_does_not_speak_mcp_says_which(world: World, step: Step, kind: str) -> None:
    world.builder.error = failure("HandshakeFailed", step=step)
    world.build(world.apply(source=IMAGE))
    assert world.condition(kind) == ("False", "HandshakeFailed")
    assert world.condition("Stalled") == ("True", "HandshakeFailed")


@pytest.mark.requirement("O-01")
def test_going_from_an_image_to_a_repository_has_the_conditions_of_a_build(world: World) -> None:
    uid = world.apply(source=IMAGE)
    world.build(uid)
    world.apply()
    world.build(uid)
    assert world.condition("Pushed")[0] == "True"
    assert world.status["sourceKind"] == "git"


# --- what a build is given


@pytest.mark.requirement("B-12", "O-01")
def test_everything_that_the_owner_says_reaches_the_build(world: World) -> None:
    world.cluster.secrets["team", "push"] = docker_config("registry.example.com", "bob", "x")
    build: dict[str, Any] = {
        "runtime": "dockerfile",
        "dockerfile": "docker/Dockerfile",
        "command": ["serve"],
        "systemPackages": ["git"],
        "buildArgs": {"A": "1"},
        "tags": ["latest"],
        "platforms": ["linux/amd64"],
        "timeout": "20m",
        "pushTimeout": "90s",
        "verify": "None",
        "repository": "registry.example.com/team/one",
        "pushSecretRef": {"name": "push"},
    }
    run = {"args": ["--http"], "transport": "streamable-http", "port": 8080, "path": "/mcp"}
    world.build(world.apply(build=build, run=run))
    (request,) = world.builder.builds
    assert (request.runtime, request.dockerfile, request.command) == ("dockerfile", "docker/Dockerfile", ("serve",))
    assert (request.system_packages, request.build_args) == (("git",), {"A": "1"})
    assert (request.tags, request.platforms) == (("latest",), ("linux/amd64",))
    assert (request.timeout, request.push_timeout, request.verify) == (1200, 90, False)
    assert (request.repository, request.auth) == (
        "registry.example.com/team/one",
        RegistryAuth(username="bob", password="x"),
    )
    assert (request.args, request.transport, request.port, request.path) == (
        ("--http",),
        "streamable-http",
        8080,
        "/mcp",
    )
    assert request.as_asked


@pytest.mark.requirement("O-01", "O-05")
def test_a_push_secret_that_is_missing_holds_the_build_up_before_it_begins(world: World) -> None:
    build = {"repository": "registry.example.com/team/one", "pushSecretRef": {"name": "push"}}
    uid = world.apply(build=build)
    delay = world.look()
    assert delay == 30
    assert world.condition("Pushed") == ("False", "SecretMissing")
    assert world.condition("SourceReady")[0] == "True"
    assert "kubectl create secret docker-registry push -n team" in world.message("Ready")
    assert "build" not in world.status
    world.cluster.secrets["team", "push"] = docker_config("registry.example.com", "bob", "x")
    world.build(uid)
    assert world.condition("Ready") == ("True", "Succeeded")


@pytest.mark.requirement("O-05")
def test_for_a_whole_secret_the_handshake_tries_placeholders_of_its_own(world: World) -> None:
    world.cluster.give("Secret", "all")
    world.build(world.apply(run={"envFrom": [{"secretRef": {"name": "all"}}]}))
    assert world.builder.requests[0].env == {}
    assert not world.builder.requests[0].as_asked


@pytest.mark.requirement("O-05")
def test_a_secret_that_the_container_needs_is_waited_for_while_the_build_goes_on(world: World) -> None:
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "weather", "key": "token"}}}
    uid = world.apply(run={"env": [token]})
    world.build(uid)
    assert world.status["image"]["reference"]
    assert world.condition("Pushed")[0] == "True"
    assert world.condition("InputsReady") == ("False", "SecretMissing")
    assert world.condition("Ready") == ("False", "SecretMissing")
    assert world.condition("Stalled")[0] == "absent"
    assert "kubectl create secret generic weather" in world.message("Ready")
    assert world.look() == 30
    world.cluster.give("Secret", "weather", "token")
    world.look()
    assert world.condition("InputsReady") == ("True", "Succeeded")
    assert world.condition("Ready") == ("True", "Succeeded")


# --- what is told of it


@pytest.mark.requirement("O-02")
def test_a_build_is_told_while_it_runs_and_counted(world: World) -> None:
    world.builder.let_go.clear()
    uid = world.apply()
    world.look()
    assert world.builder.started.wait(BOUND)
    world.look()
    build = world.status["build"]
    assert (build["number"], build["step"], build["of"], build["progress"]) == (1, 3, 9, "Build 3/9")
    world.builder.warnings = ("it did not start without network\x1b[2J", *("more" for _ in range(50)))
    world.builder.let_go.set()
    world.wait(uid, State.ENDED)
    world.look()
    assert world.status["build"]["warnings"][0] == "it did not start without network [2J"
    assert len(world.status["build"]["warnings"]) == 10
    assert "step" not in world.status["build"]
    world.apply(run={"args": ["other"]})
    world.build(uid)
    assert world.status["build"]["number"] == 2


@pytest.mark.requirement("O-02")
def test_whatever_a_hostile_server_says_its_status_stays_small_and_printable(world: World) -> None:
    world.builder.tools = tuple(f"{number}\x1b[31m{'x' * 200}" for number in range(500))
    world.builder.warnings = ("w" * 100_000,) * 100
    world.build(world.apply())
    text = json.dumps(world.status, ensure_ascii=False)
    assert len(text) < 20_000
    assert text.isprintable()
    assert world.status["toolCount"] == 500


@pytest.mark.requirement("O-03")
def test_tools_are_listed_with_hash_tokens_and_what_they_claim(world: World) -> None:
    world.build(world.apply())
    assert world.status["tools"] == [
        {"name": "read", "hash": "sha256:read-1", "tokens": 7, "readOnly": True},
        {"name": "write", "hash": "sha256:write-1", "tokens": 7},
    ]
    assert world.status["protocol"] == {
        "era": "legacy",
        "version": "2025-11-25",
        "transport": "stdio",
        "serverInfo": "server 1.0",
    }


@pytest.mark.requirement("O-03")
def test_a_server_with_more_tools_than_can_be_kept_is_refused(world: World) -> None:
    world.builder.tools = tuple(f"{number}-{'x' * 240}" for number in range(3000))
    world.build(world.apply())
    assert world.condition("Verified") == ("False", "TooManyTools")
    assert "image" not in world.status
    world.look()
    assert len(world.builder.requests) == 1
