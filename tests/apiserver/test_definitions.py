from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kubectl import KubectlError
from mcp_operator import names

if TYPE_CHECKING:
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.integration]


def server(name: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a test writes
    """Give an MCPServer."""
    return {"apiVersion": names.API_VERSION, "kind": "MCPServer", "metadata": {"name": name}, "spec": spec}


@pytest.mark.requirement("O-38")
def test_definitions_fill_defaults_and_refuse_what_contradicts_itself(spare_apiserver: SpareApiServer) -> None:
    with spare_apiserver.namespace("crds") as kubectl:
        kubectl.apply(server("git", source={"git": {"url": "https://example.com/one"}}))
        stored = kubectl.get("mcpserver", "git")["spec"]
        assert stored["build"]["timeout"] == "10m"
        with pytest.raises(KubectlError, match="exactly one"):
            kubectl.apply(server("two", source={"git": {"url": "https://example.com/one"}, "npm": {"package": "two"}}))


@pytest.mark.requirement("O-05")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        *((path, "the operator mounts folders there") for path in ("/tmp", "/run", "/mcp", "/run/mcp")),  # noqa: S108
        *((path, "the operator mounts folders there") for path in ("/mcp/bin/x", "/run/mcp/control")),
        *((path, "path must have no") for path in ("/run//mcp", "/etc/./x", "/etc/../mcp/x")),
    ],
)
def test_a_file_at_or_below_what_the_operator_mounts_is_refused(
    spare_apiserver: SpareApiServer, path: str, message: str
) -> None:
    source = {"git": {"url": "https://example.com/one"}}
    with spare_apiserver.namespace("files") as kubectl:
        with pytest.raises(KubectlError, match=message):
            kubectl.apply(server("git", source=source, run={"files": [{"path": path, "content": "x"}]}))
        allowed = ("/tmp/.config/x", "/mcp-data/x", "/run/mcpx", "/etc/x")  # noqa: S108 - the server's home is there
        kubectl.apply(server("git", source=source, run={"files": [{"path": each, "content": "x"} for each in allowed]}))
