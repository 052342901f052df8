from __future__ import annotations

from typing import Any

import pytest
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import MCPServerStatus, ProtocolStatus
from mcp_operator.placements import placement

GIT = {"git": {"url": "https://git.test/one"}}
REMOTE = {"remote": {"url": "https://mcp.test/mcp"}}


@pytest.mark.requirement("O-10")
@pytest.mark.parametrize(
    ("source", "run", "found", "expected"),
    [
        (GIT, {}, None, "Sidecar"),
        (GIT, {}, "stdio", "Sidecar"),
        (GIT, {}, "streamable-http", "Shared"),
        (GIT, {"transport": "sse"}, None, "Shared"),
        (GIT, {"transport": "stdio"}, "streamable-http", "Sidecar"),
        (GIT, {"placement": "Shared"}, "stdio", "Shared"),
        (GIT, {"placement": "Sidecar"}, "streamable-http", "Shared"),
        (REMOTE, {}, "streamable-http", "Remote"),
    ],
)
def test_a_server_that_speaks_http_is_never_in_an_agents_pod(
    source: dict[str, Any], run: dict[str, Any], found: str | None, expected: str
) -> None:
    spec = MCPServerSpec.model_validate({"source": source, "run": run})
    protocol = None if found is None else ProtocolStatus(version="1", transport=found, server_info="x")
    assert placement(spec, MCPServerStatus(protocol=protocol)) == expected
