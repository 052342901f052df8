"""What the models refuse by themselves; rules across fields are the API server's (tests/e2e/test_crds.py)."""

from __future__ import annotations

from typing import Any

import pytest
from examples import agent, server
from mcp_operator.models.run import Resources
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.objects import InvalidSpecError
from pydantic import ValidationError

pytestmark = pytest.mark.requirement("F-04")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.git",
        "http://127.0.0.1:8080/a",
        "ssh://git@example.com/a.git",
        "https://example.com/~user/@scope/a",
    ],
)
def test_clone_urls_are_taken(url: str) -> None:
    assert server(source={"git": {"url": url}}).spec.source.git is not None


@pytest.mark.parametrize(
    "git",
    [
        {"url": "file:///etc"},
        {"url": "ext::sh -c id"},
        {"url": "/etc"},
        {"url": "ssh://-oProxyCommand=id/x"},
        {"url": "https://example.com/a b"},
        {"url": "https://example.com/\x1b[2J"},
        {"url": "https://example.com/a\n"},
        {"url": "https://example.com", "path": "/etc"},
        {"url": "https://example.com", "path": "-x"},
        {"url": "https://example.com", "ref": {"branch": "--upload-pack=id"}},
        {"url": "https://example.com", "ref": {"tag": "a b"}},
        {"url": "https://example.com", "ref": {"commit": "HEAD"}},
        {"url": "https://example.com", "typo": 1},
    ],
)
def test_sources_that_are_no_url_no_ref_or_an_option_in_disguise_are_refused(git: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpecError, match=r"^spec\.source\.git"):
        server(source={"git": git})


def test_quantities_may_be_numbers_as_in_a_pod() -> None:
    limits = Resources.model_validate({"limits": {"cpu": 2, "memory": 1073741824}}).limits
    assert (limits.cpu, limits.memory) == ("2", "1073741824")


@pytest.mark.parametrize("limits", [{"cpu": "1.2.3"}, {"memory": "much"}, {"cpu": True}, {"memory": "-1Gi"}])
def test_quantities_that_are_none_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Resources.model_validate({"limits": limits})


def test_an_agent_names_servers_by_names_that_they_can_have() -> None:
    with pytest.raises(InvalidSpecError, match=r"^spec\.servers\.0\.name"):
        agent("*")


def test_defaults_are_those_of_the_schema() -> None:
    spec = MCPServerSpec.model_validate({"source": {"git": {"url": "https://example.com/a"}}})
    assert spec.model_dump(by_alias=True, exclude_none=True) == {
        "source": {
            "git": {
                "url": "https://example.com/a",
                "ref": {},
                "path": ".",
                "interval": "5m",
                "recurseSubmodules": False,
                "lfs": False,
            }
        },
        "build": {
            "runtime": "auto",
            "dockerfile": "Dockerfile",
            "command": [],
            "systemPackages": [],
            "buildArgs": {},
            "tags": [],
            "platforms": [],
            "timeout": "10m",
            "pushTimeout": "5m",
            "verify": "Handshake",
        },
        "run": {
            "args": [],
            "env": [],
            "envFrom": [],
            "files": [],
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
            "imagePullSecrets": [],
            "shared": {"replicas": 1, "network": "Isolated", "sessions": "Shared"},
            "serverRequests": ["elicitation"],
        },
        "tools": {"deny": [], "changes": "Auto"},
    }
