"""The read API before a real API server: its tokens, its rights, its lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp_operator import access, kube, names
from mcp_operator.readapi.app import ReadApi
from mcp_operator.readapi.callers import Callers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubectl import Kubectl
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-35")]

SERVER: dict[str, Any] = {"source": {"npm": {"package": "x"}}}


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _account(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


class Team:
    """A namespace with three servers, a reader of them, somebody without rights, and an operator with its own."""

    def __init__(self, spare: SpareApiServer, kubectl: Kubectl) -> None:
        self.spare = spare
        self.kubectl = kubectl
        self.namespace = kubectl.namespace
        objects = [_object("MCPServer", name, SERVER) for name in ("one", "two", "three")]
        kubectl.apply(*objects, *(_account(name) for name in ("reader", "nobody", "operator")))
        kubectl("create", "role", "reader", "--verb=get,list", "--resource=mcpservers.toolman.dev")
        kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={self.namespace}:reader")
        rights = [access.CREATE_TOKEN_REVIEW, access.CREATE_ACCESS_REVIEW]
        rights += [*access.GET_OURS.values(), *access.LIST_OURS.values()]
        role: dict[str, Any] = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"operator-{self.namespace}"},
            "rules": access.rules(rights),
        }
        kubectl.apply(role)
        account = f"--serviceaccount={self.namespace}:operator"
        kubectl(
            "create",
            "clusterrolebinding",
            role["metadata"]["name"],
            f"--clusterrole=operator-{self.namespace}",
            account,
        )
        config: Path = spare.kubeconfig_of("operator", token=spare.token(self.namespace, "operator"))
        api, _ = kube.connect_as_person(str(config))
        self.application = ReadApi(api, Callers(api, lambda: 0.0)).application()

    def token(self, account: str, **options: Any) -> str:  # noqa: ANN401 - of a token
        return self.spare.token(self.namespace, account, **options)

    async def get(self, path: str, token: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def team(spare_apiserver: SpareApiServer) -> Iterator[Team]:
    with spare_apiserver.namespace("readers") as kubectl:
        yield Team(spare_apiserver, kubectl)


async def test_a_reader_gets_what_kubectl_would_give_him(team: Team) -> None:
    token = team.token("reader")
    answer = await team.get(f"/api/v1/servers?namespace={team.namespace}", token)
    assert [each["name"] for each in answer.json()["items"]] == ["one", "three", "two"]
    one = await team.get(f"/api/v1/servers/{team.namespace}/one", token)
    assert one.json()["spec"]["source"] == {"npm": {"package": "x"}}


async def test_lists_are_read_in_the_api_servers_own_pages(team: Team) -> None:
    token, path = team.token("reader"), f"/api/v1/servers?namespace={team.namespace}&limit=2"
    first = (await team.get(path, token)).json()
    rest = (await team.get(str(httpx.URL(path).copy_merge_params({"continue": first["continue"]})), token)).json()
    assert [each["name"] for each in (*first["items"], *rest["items"])] == ["one", "three", "two"]
    assert "continue" not in rest
    assert (await team.get(f"{path}&continue=nonsense", token)).status_code == 400


async def test_without_the_right_it_is_refused_though_the_operator_has_it(team: Team) -> None:
    for path in ("/api/v1/servers", "/api/v1/policies", f"/api/v1/agents?namespace={team.namespace}"):
        assert (await team.get(path, team.token("reader"))).status_code == 403
    answer = await team.get(f"/api/v1/servers/{team.namespace}/one", team.token("nobody"))
    assert answer.status_code == 403


async def test_a_token_for_somebody_else_is_no_token_for_us(team: Team) -> None:
    stolen = team.token("reader", audience="toolman.dev/mcpserver/1")
    assert (await team.get(f"/api/v1/servers?namespace={team.namespace}", stolen)).status_code == 401
    assert (await team.get("/api/v1/servers", "nonsense")).status_code == 401
