from __future__ import annotations

import pytest
from mcp_operator import server_references
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.server_references import Reference

pytestmark = pytest.mark.requirement("O-05")

SPEC = MCPServerSpec.model_validate(
    {
        "source": {"git": {"url": "https://git.test/one", "secretRef": {"name": "clone"}}},
        "build": {"repository": "r.test/x", "pushSecretRef": {"name": "push"}},
        "run": {
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "a"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "b"}}},
                {"name": "C", "value": "literal"},
            ],
            "envFrom": [{"secretRef": {"name": "whole"}}, {"configMapRef": {"name": "all"}}],
            "files": [
                {"path": "/etc/a", "secretKeyRef": {"name": "file", "key": "f"}},
                {"path": "/etc/b", "configMapKeyRef": {"name": "files", "key": "g"}},
                {"path": "/etc/c", "content": "text"},
            ],
            "imagePullSecrets": [{"name": "pull"}],
        },
    }
)
REMOTE = MCPServerSpec.model_validate(
    {
        "source": {
            "remote": {
                "url": "https://mcp.test",
                "headers": [
                    {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "header", "key": "token"}}}
                ],
                "caRef": {"name": "authorities", "key": "pem"},
            }
        }
    }
)


def test_the_container_gets_its_environment_and_files() -> None:
    assert server_references.of_container(SPEC.run) == [
        Reference("Secret", "env", "a"),
        Reference("ConfigMap", "settings", "b"),
        Reference("Secret", "whole"),
        Reference("ConfigMap", "all"),
        Reference("Secret", "file", "f"),
        Reference("ConfigMap", "files", "g"),
    ]


def test_toolman_gets_headers_and_authorities_of_a_remote_server() -> None:
    assert server_references.of_toolman(SPEC) == []
    assert server_references.of_toolman(REMOTE) == [
        Reference("Secret", "header", "token"),
        Reference("ConfigMap", "authorities", "pem"),
    ]


def test_the_kubelet_gets_what_the_image_is_pulled_with() -> None:
    assert server_references.of_kubelet(SPEC) == [Reference("Secret", "pull", pulls=True)]
    source = {"image": {"reference": "r.test/x", "pullSecretRef": {"name": "own"}}}
    image = MCPServerSpec.model_validate({"source": source, "run": {"imagePullSecrets": [{"name": "own"}]}})
    assert server_references.of_kubelet(image) == [Reference("Secret", "own", pulls=True)]


def test_no_secret_of_a_server_is_left_out_of_those_that_agents_may_not_have() -> None:
    assert server_references.secrets(SPEC) == {"env", "whole", "file", "pull", "clone", "push"}
    assert server_references.secrets(REMOTE) == {"header"}
