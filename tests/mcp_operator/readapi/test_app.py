"""What the read API answers, to whom, and in which order it asks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from agent_world import World
from fake_cluster import POLICY, FakeCluster
from mcp_operator import cluster, names
from mcp_operator.readapi.app import MOST, ReadApi
from mcp_operator.readapi.callers import Callers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Kind, Manifest

pytestmark = pytest.mark.requirement("O-35")

TOKEN = "eyJ-very-secret"
PATHS = (
    "/api/v1/servers",
    "/api/v1/agents?namespace=team",
    "/api/v1/policies",
    "/api/v1/servers/team/files",
    "/api/v1/policies/base",
)


class Api(FakeCluster):
    """A cluster that knows one caller, and what he may."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed: list[tuple[str, str, str]] = []
        self.failure: cluster.ClusterError | None = None
        self.pages: list[tuple[str, str, int, str]] = []
        self.rest = ""

    def token_review(self, token: str) -> Mapping[str, Any]:
        return {"authenticated": token == TOKEN, "user": {"username": "reader"}}

    def access_review(self, spec: Mapping[str, Any]) -> bool:
        asked = spec["resourceAttributes"]
        return (asked["verb"], asked["resource"], asked["namespace"]) in self.allowed

    def page(self, kind: Kind, namespace: str, limit: int, proceed: str) -> tuple[Sequence[Manifest], str]:
        if self.failure is not None:
            raise self.failure
        self.pages.append((kind.kind, namespace, limit, proceed))
        return self.list(kind, namespace), self.rest


@pytest.fixture
def api() -> Api:
    made = Api()
    world = World()
    world.cluster.add(POLICY, "base", {"tools": {"deny": ["write"]}})
    world.running()
    made.objects = world.cluster.objects
    made.allowed = [
        *(("list", plural, "team") for plural in (names.SERVERS, names.AGENTS)),
        *(("get", plural, "team") for plural in (names.SERVERS, names.AGENTS)),
        *((verb, names.POLICIES, "") for verb in ("get", "list")),
    ]
    return made


async def _get(api: Api, path: str, *, token: str = TOKEN, served: tuple[str, ...] = ()) -> httpx.Response:
    application = ReadApi(api, Callers(api, lambda: 0.0), served).application()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://api") as client:
        return await client.get(path, headers=headers)


async def test_lists_say_who_is_ready_and_if_not_why(api: Api) -> None:
    answer = await _get(api, "/api/v1/agents?namespace=team")
    assert answer.status_code == 200
    (agent,) = answer.json()["items"]
    assert (agent["namespace"], agent["name"], agent["ready"]["status"]) == ("team", "dev", "True")
    assert agent["tools"]["visible"] == 1
    assert agent["policies"] == [{"name": "base", "enforcement": "Enforce"}]
    assert "spec" not in agent
    assert answer.headers["cache-control"] == "no-store"


async def test_one_object_comes_with_its_spec_and_status(api: Api) -> None:
    server = (await _get(api, "/api/v1/servers/team/files")).json()
    assert server["spec"]["source"]["git"]["url"] == "https://git.test/files"
    assert server["status"]["toolCount"] == 2
    policy = (await _get(api, "/api/v1/policies/base")).json()
    assert policy["spec"]["tools"] == {"deny": ["write"]}
    assert "namespace" not in policy
    assert policy["ready"] == {"status": "Unknown"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "stolen", "stolen more"])
async def test_without_a_token_that_the_cluster_takes_nothing_is_said(api: Api, path: str, token: str) -> None:
    answer = await _get(api, path, token=token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["message"].startswith("show a token")


async def test_other_schemes_are_no_tokens(api: Api) -> None:
    application = ReadApi(api, Callers(api, lambda: 0.0)).application()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://api") as client:
        answer = await client.get("/api/v1/policies", headers={"Authorization": f"Basic {TOKEN}"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/servers",
        "/api/v1/agents",
        "/api/v1/servers?namespace=other",
        "/api/v1/servers/other/files",
        "/api/v1/servers/other/absent",
    ],
)
async def test_whoever_may_not_is_refused_whether_it_exists_or_not(api: Api, path: str) -> None:
    answer = await _get(api, path)
    assert answer.status_code == 403
    assert "you may not" in answer.json()["error"]["message"]
    assert ("give namespace=NAME" in answer.text) is ("other" not in path)


async def test_the_right_to_list_is_not_the_right_to_get_nor_the_other_way_round(api: Api) -> None:
    api.allowed = [("list", names.SERVERS, "team")]
    assert (await _get(api, "/api/v1/servers?namespace=team")).status_code == 200
    assert (await _get(api, "/api/v1/servers/team/files")).status_code == 403
    api.allowed = [("get", names.SERVERS, "team")]
    assert (await _get(api, "/api/v1/servers?namespace=team")).status_code == 403


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    assert (await _get(api, "/api/v1/servers/team/absent")).status_code == 404
    assert (await _get(api, "/api/v1/secrets")).status_code == 404


async def test_lists_come_in_pages(api: Api) -> None:
    api.rest = "more"
    answer = await _get(api, "/api/v1/servers?namespace=team&limit=7&continue=abc")
    assert answer.json()["continue"] == "more"
    assert api.pages == [("MCPServer", "team", 7, "abc")]
    api.rest = ""
    assert "continue" not in (await _get(api, "/api/v1/servers?namespace=team")).json()
    assert api.pages[-1][2] == 100


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        f"limit={MOST + 1}",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=٣",
        f"continue={'x' * 5000}",
        "namespace=..",
        "namespace=team/../../secrets",
        "namespace=Team",
    ],
)
async def test_what_makes_no_sense_is_refused_before_the_cluster_is_asked(api: Api, query: str) -> None:
    answer = await _get(api, f"/api/v1/servers?{query}")
    assert answer.status_code == 400
    assert api.pages == []


@pytest.mark.parametrize(
    "path", ["/api/v1/servers/team/%2e%2e", "/api/v1/servers/team/a%2fb", "/api/v1/policies/%2e%2e"]
)
async def test_no_name_leads_elsewhere(api: Api, path: str) -> None:
    assert (await _get(api, path)).status_code in {400, 404}


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (cluster.UnreachableError("dial tcp 10.0.0.1"), 503),
        (cluster.ForbiddenError("system:serviceaccount:mcp-system may not"), 503),
        (cluster.ExpiredError("etcd compacted"), 410),
        (cluster.InvalidError("no such key in etcd"), 400),
    ],
)
async def test_what_the_cluster_cannot_answer_is_said_without_its_own_words(
    api: Api, failure: cluster.ClusterError, code: int
) -> None:
    api.failure = failure
    answer = await _get(api, "/api/v1/servers?namespace=team")
    assert answer.status_code == code
    assert str(failure) not in answer.text


async def test_no_token_reaches_a_log_or_an_answer(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    api.failure = cluster.UnreachableError("down")
    for path in (*PATHS, "/api/v1/servers?namespace=team", "/nothing"):
        assert TOKEN not in (await _get(api, path)).text
    assert TOKEN not in caplog.text


async def test_an_installation_for_some_namespaces_asks_for_one_of_them(api: Api) -> None:
    api.allowed.append(("list", names.SERVERS, ""))
    answer = await _get(api, "/api/v1/servers", served=("team", "other"))
    assert (answer.status_code, api.pages) == (400, [])
    assert "serves: other, team" in answer.text
    assert (await _get(api, "/api/v1/servers?namespace=team", served=("team",))).status_code == 200
    assert (await _get(api, "/api/v1/policies", served=("team",))).status_code == 200


async def test_nothing_can_be_written(api: Api) -> None:
    application = ReadApi(api, Callers(api, lambda: 0.0)).application()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://api") as client:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await client.request(method, "/api/v1/servers", headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 405
