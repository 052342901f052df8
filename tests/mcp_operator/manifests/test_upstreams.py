"""Servers outside of the Pod: what toolman is told and given of them, and that nobody else gets any of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from examples import agent, running
from mcp_operator import layers, names
from mcp_operator.manifests import config, pod, upstreams
from mcp_operator.manifests.upstreams import Upstream
from mcp_operator.models.source import Header, KeyRef
from mcp_operator.settings import Settings
from toolman.config import Config, Http, Secret, Sse, dumps

pytestmark = pytest.mark.requirement("O-14")

SETTINGS = Settings(registry="r.test", image_toolman="t:1", image_wrapper="w:1")
TOKEN = Header.model_validate(
    {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "remote-token", "key": "bearer"}}}
)
REMOTE = Upstream(
    name="far", url="https://mcp.test/mcp", transport="streamable-http", headers=(TOKEN,), ca=KeyRef(name="ca", key="k")
)
PLAIN = Upstream(name="open", url="https://open.test/sse", transport="sse")
SHARED = Upstream(
    name="near",
    url="https://near.team.svc:8443/mcp",
    transport="streamable-http",
    ca=KeyRef(name="near-ca", key=names.CA_FILE),
    audience="toolman.dev/mcpserver/uid-1",
)


def _pod(*servers: object) -> dict[str, Any]:
    named = [str(getattr(server, "name", "")) for server in servers]
    return pod.agent_pod(agent(*named), servers, "hash", SETTINGS)  # type: ignore[arg-type] # both kinds


def test_toolman_is_told_where_they_are_and_in_which_files_their_secrets() -> None:
    of = agent("far", "open", "near")
    written = config.toolman_config(of, [REMOTE, PLAIN, SHARED], layers.layers({}, of, [], []))
    assert msgspec.json.decode(dumps(written), type=Config) == written
    folder = "/run/toolman/upstreams"
    assert [server.upstream for server in written.servers] == [
        Http(
            url=REMOTE.url,
            headers={"Authorization": Secret(file=f"{folder}/far/header-0")},
            ca=f"{folder}/far/ca.crt",
        ),
        Sse(url=PLAIN.url),
        Http(url=SHARED.url, token=Secret(file=f"{folder}/near/token"), ca=f"{folder}/near/ca.crt"),
    ]
    assert written.listen.refuse_uids == ()


def test_headers_authorities_and_tokens_are_mounted_in_toolmans_container_alone() -> None:
    made = _pod(running("git"), REMOTE, SHARED)
    every = [*made["spec"]["initContainers"], *made["spec"]["containers"]]
    for server in (REMOTE, SHARED):
        volume = names.upstream_volume(server.name)
        holders = [each["name"] for each in every if any(m["name"] == volume for m in each.get("volumeMounts", ()))]
        assert holders == ["toolman"]
    assert "remote-token" not in str(every)


def test_a_shared_servers_token_has_its_audience_and_a_short_life() -> None:
    made = _pod(SHARED)
    volume = next(each for each in made["spec"]["volumes"] if each["name"] == names.upstream_volume("near"))
    assert volume["projected"]["sources"] == [
        {"configMap": {"name": "near-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "serviceAccountToken": {
                "audience": "toolman.dev/mcpserver/uid-1",
                "expirationSeconds": upstreams.TOKEN_SECONDS,
                "path": "token",
            },
        },
    ]
    assert made["spec"]["automountServiceAccountToken"] is False


def test_a_server_that_needs_nothing_to_be_reached_needs_no_other_pod() -> None:
    with_it, without = _pod(running("git"), PLAIN), _pod(running("git"))
    hashes = [each["metadata"]["annotations"][names.ANNOTATION_POD_HASH] for each in (with_it, without)]
    assert hashes[0] == hashes[1]
    assert upstreams.volumes(PLAIN) == []
    assert with_it["metadata"]["annotations"][names.ANNOTATION_UPSTREAMS] == "{}"


def test_a_server_outside_takes_no_user_of_those_inside() -> None:
    made = _pod(REMOTE, running("git"))
    users = {each["name"]: each["securityContext"]["runAsUser"] for each in made["spec"]["initContainers"]}
    assert users["mcp-server-git"] == names.SERVER_UID_FIRST


def test_the_longest_name_makes_no_volume_with_too_long_a_name() -> None:
    assert len(names.upstream_volume("s" * 50)) <= 63
    assert len(names.files_volume("s" * 50)) <= 63
