from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import spare_apiserver as spare
from mcp_operator import names
from operator_processes import TEMPLATE, exists, is_ready, operators, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-38")]

RELEASED = Path(__file__).parents[2] / "deploy" / "released"


@pytest.fixture
def of_last_release() -> Iterator[SpareApiServer]:
    """Give an API server with the definitions of the last release."""
    with spare.running(definitions=False) as server:
        server.kubectl("apply", "--server-side", "-f", str(RELEASED))
        server.wait_for_definitions()
        yield server


def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_objects_of_the_last_release_are_kept_and_reconciled_after_an_upgrade(
    of_last_release: SpareApiServer, tmp_path: Path
) -> None:
    with of_last_release.namespace("old") as kubectl:
        source = {"git": {"url": "https://git.test/one", "ref": {"branch": "main"}}}
        run = {"args": ["--quiet"], "env": [{"name": "MODE", "value": "x"}]}
        server = {"source": source, "build": {"timeout": "20m"}, "run": run, "tools": {"deny": ["write"]}}
        agent = {"servers": [{"name": "one", "tools": {"allow": ["read"]}}], "template": TEMPLATE}
        kubectl.apply(
            resource("MCPServer", "one", server),
            resource("MCPAgent", "dev", agent),
            resource("ToolPolicy", "cap", {"target": {"servers": ["*"]}, "tools": {"deny": ["drop_*"]}}),
        )
        before = {kind: kubectl.get(kind, name)["spec"] for kind, name in (("mcpserver", "one"), ("mcpagent", "dev"))}

        of_last_release.apply_definitions()  # server-side
        with operators(of_last_release, tmp_path) as started:
            started.start()
            wait(lambda: exists(kubectl, "pod", "dev"))
            wait(lambda: is_ready(kubectl, "mcpserver", "one") and is_ready(kubectl, "toolpolicy", "cap"))
        for (kind, name), spec in zip((("mcpserver", "one"), ("mcpagent", "dev")), before.values(), strict=True):
            now = kubectl.get(kind, name)["spec"]
            assert {key: now[key] for key in spec} == spec


def test_what_an_admin_added_to_a_definition_is_kept_by_an_upgrade(of_last_release: SpareApiServer) -> None:
    kubectl = dataclasses.replace(of_last_release.kubectl)
    kubectl("label", "crd", "mcpservers.toolman.dev", "team=platform")
    of_last_release.apply_definitions()
    assert kubectl.get("crd", "mcpservers.toolman.dev")["metadata"]["labels"]["team"] == "platform"
