from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from operator_processes import OWN_NAMESPACE, agent, exists, is_ready, operators, policy, server, wait

if TYPE_CHECKING:
    from kubectl import Kubectl
    from operator_processes import Operator
    from spare_apiserver import SpareApiServer

CHART = Path(__file__).parents[2] / "charts" / "mcp-operator"

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-34")]


@pytest.mark.parametrize("everywhere", [True, False], ids=["whole cluster", "one namespace"])
def test_the_charts_roles_are_all_that_an_operator_needs(
    own_apiserver: SpareApiServer, tmp_path: Path, *, everywhere: bool
) -> None:
    with own_apiserver.namespace("served") as kubectl, operators(own_apiserver, tmp_path) as started:
        served = () if everywhere else (kubectl.namespace,)
        _install(own_apiserver.kubectl, served)
        kubeconfig = own_apiserver.kubeconfig_of("operator", token=own_apiserver.token(OWN_NAMESPACE, "mcp-operator"))
        operator = started.start(kubeconfig, TOOLMAN_WATCH_NAMESPACES=",".join(served))

        kubectl.apply(policy("cap"), server("one"), agent("dev", "one"))
        wait(lambda: exists(kubectl, "pod", "dev"))
        wait(lambda: is_ready(kubectl, "mcpserver", "one") and is_ready(kubectl, "toolpolicy", "cap"))
        kubectl("label", "namespace", kubectl.namespace, "team=a")
        kubectl("delete", "pod", "dev", "--grace-period=0", "--force")
        wait(lambda: exists(kubectl, "pod", "dev"))
        kubectl("delete", "mcpserver,mcpagent,toolpolicy", "--all")
        wait(lambda: operator.steady("MCPServer", "MCPAgent", "ToolPolicy"))

        assert refused(operator) == []
        assert operator.is_ready


def refused(operator: Operator) -> list[str]:
    """Give what the API server did not allow the operator, or kopf in it."""
    requests = [line for line in operator.metrics if line.startswith("mcp_operator_api_requests_total")]
    lines = [line for line in operator.log.read_text().splitlines() if "orbidden" in line]
    return [line for line in requests if 'code="403"' in line] + lines


def _install(kubectl: Kubectl, served: tuple[str, ...]) -> None:
    helm = shutil.which("helm") or str(Path.home() / ".cache" / "toolman" / "bin" / "helm")
    documents = subprocess.run(
        [
            *(helm, "template", "mcp-operator", CHART, "--namespace", OWN_NAMESPACE, "--kube-version", "1.33.0"),
            *("--values", CHART / "ci" / "values.yaml", "--show-only", "templates/rbac.yaml"),
            *("--show-only", "templates/serviceaccount.yaml", "--set-json", f"watchNamespaces={json.dumps(served)}"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    for document in documents.split("\n---\n"):  # they are in several namespaces
        found = re.search(r"^  namespace: (\S+)$", document, re.MULTILINE)
        dataclasses.replace(kubectl, namespace=found[1] if found else "default")("apply", "-f", "-", stdin=document)
