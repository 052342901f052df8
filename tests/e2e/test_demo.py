"""The first of the two commands: everything from nothing to an agent, shown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import throwaway

if TYPE_CHECKING:
    import docker
    from kubectl import Kubectl

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo")]

NAMESPACE = "toolman-demo"


@pytest.fixture
def samples() -> Kubectl:
    return throwaway.cluster(NAMESPACE)


@pytest.mark.requirement("F-02")
def test_the_demo_shows_every_step_with_its_time_and_every_check_holds(demo: str) -> None:
    assert "FAIL" not in demo
    assert len(re.findall(r"^  ok  ", demo, re.MULTILINE)) >= 15
    for step in ("Build and push the images", "Install the operator", "Apply deploy/samples", "From git to a running"):
        assert re.search(rf"{step}.*: \d", demo), step
    assert "scripts/demo down" in demo


@pytest.mark.requirement("F-05")
def test_servers_from_git_are_built_verified_and_pushed_by_digest(
    samples: Kubectl, engine: docker.DockerClient
) -> None:
    for name, tools in (("time", 2), ("git", 12)):
        status = samples.get("mcpserver", name)["status"]
        assert status["toolCount"] == tools
        assert re.fullmatch(r"[0-9a-f]{40}", status["source"]["commit"])
        assert re.fullmatch(rf".+/mcp/{NAMESPACE}/{name}@sha256:[0-9a-f]{{64}}", status["image"]["reference"])
        user = engine.images.get(status["image"]["id"]).attrs["Config"]["User"]
        assert user == "1001:1001"


@pytest.mark.requirement("F-08")
def test_kubectl_get_and_describe_say_what_is_going_on(samples: Kubectl) -> None:
    table = samples("get", "mcpservers,mcpagents")
    assert re.search(r"^mcpserver\S+/time +True ", table, re.MULTILINE), table
    assert re.search(r"^mcpagent\S+/assistant +True ", table, re.MULTILINE), table
    described = samples("describe", "mcpserver", "time")
    for expected in ("BuildStarted", "Succeeded", "get_current_time", "pyproject.toml"):
        assert expected in described, described


@pytest.mark.requirement("F-06")
def test_every_container_of_the_pod_passes_the_restricted_standard_and_runs_by_digest(samples: Kubectl) -> None:
    pod = samples.get("pod", "assistant")
    labels = samples.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    ours = pod["spec"]["initContainers"]
    assert [container["name"] for container in ours] == [
        "mcp-install",
        "toolman",
        "mcp-server-time",
        "mcp-server-git",
        "await-tools",
    ]
    assert all("@sha256:" in container["image"] for container in ours)
    users = {container["name"]: container["securityContext"]["runAsUser"] for container in ours}
    assert len({users[name] for name in ("toolman", "mcp-server-time", "mcp-server-git")}) == 3


@pytest.mark.requirement("F-06")
def test_a_server_can_neither_plant_nor_open_anything_beyond_its_own_pipes(samples: Kubectl) -> None:
    script = """
    for path in /run/mcp/planted /run/mcp/control.new /mcp/bin/planted; do
        /mcp/bin/busybox touch "$path" 2>/dev/null && echo "wrote $path"
    done
    /mcp/bin/busybox ln -s /etc/passwd /run/mcp/link 2>/dev/null && echo linked
    /mcp/bin/busybox mv /run/mcp/control /run/mcp/moved 2>/dev/null && echo moved
    /mcp/bin/busybox ls /etc/toolman 2>/dev/null && echo "read toolman's rules"
    /mcp/bin/busybox ls /var/run/secrets/kubernetes.io 2>/dev/null && echo "found a token"
    /mcp/bin/busybox ls /proc/1/root/run/mcp | /mcp/bin/busybox grep -c control
    """
    seen = samples.exec("assistant", "mcp-server-time", "/mcp/bin/busybox", "sh", "-c", script)
    assert seen.strip() == "1"


@pytest.mark.requirement("F-06")
def test_a_servers_secret_is_in_no_other_container(samples: Kubectl) -> None:
    secret = "only-the-git-server-reads-this"
    show = ("/mcp/bin/busybox", "sh", "-c", "/mcp/bin/busybox env; /mcp/bin/busybox cat /proc/*/environ 2>/dev/null")
    assert secret in samples.exec("assistant", "mcp-server-git", *show)
    for container in ("agent", "mcp-server-time"):
        assert secret not in samples.exec("assistant", container, *show)
    for kind in ("mcpserver", "mcpagent", "configmap", "pod"):
        assert secret not in samples("get", kind, "-o", "json")


@pytest.mark.requirement("F-08")
def test_a_reconciled_installation_at_rest_writes_nothing(samples: Kubectl) -> None:
    def versions() -> dict[str, str]:
        listed = json.loads(samples("get", "mcpservers,mcpagents,configmaps,pods", "-o", "json"))
        return {f"{item['kind']}/{item['metadata']['name']}": _version(item) for item in listed["items"]}

    before = versions()
    samples("annotate", "mcpserver", "time", "example.com/touched=yes", "--overwrite")  # an event, and nothing to do
    samples("get", "mcpservers", "--watch-only", "--request-timeout=12s")  # more than a delay of anything that waits
    after = versions()
    assert {name for name in before | after if after.get(name) != before.get(name)} == {"MCPServer/time"}


def _version(item: dict[str, Any]) -> str:
    """Tell two states of an object apart; a Pod's status is the kubelet's, which does write at rest."""
    metadata = item["metadata"]
    if item["kind"] == "Pod":
        return json.dumps([metadata["uid"], metadata["annotations"], metadata["labels"], item["spec"]])
    return f"{metadata['uid']} {metadata['resourceVersion']}"
