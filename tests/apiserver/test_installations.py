"""A cluster has one installation: Helm refuses a second one, and so does the operator where Helm was not asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp_operator import names
from operator_processes import OWN_NAMESPACE, operators, wait

if TYPE_CHECKING:
    from spare_apiserver import SpareApiServer

CHART = Path(__file__).parents[2] / "charts" / "mcp-operator"

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-34")]


def test_a_second_installation_is_refused_naming_the_first(own_apiserver: SpareApiServer) -> None:
    _claim(
        own_apiserver,
        "platform",
        **{"meta.helm.sh/release-name": "first", "meta.helm.sh/release-namespace": "platform"},
    )
    helm = shutil.which("helm") or str(Path.home() / ".cache" / "toolman" / "bin" / "helm")
    install = (helm, "install", "second", str(CHART), "--values", str(CHART / "ci" / "values.yaml"), "--dry-run=server")
    place = ("--kubeconfig", str(own_apiserver.kubeconfig), "--namespace", "other")
    refused = subprocess.run([*install, *place], capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode != 0
    assert "release first in namespace platform" in refused.stderr
    assert "helm uninstall first -n platform" in refused.stderr


@pytest.mark.requirement("O-33")
def test_an_operator_serves_no_cluster_of_another_installation(own_apiserver: SpareApiServer, tmp_path: Path) -> None:
    with operators(own_apiserver, tmp_path) as started:
        _claim(own_apiserver, OWN_NAMESPACE)
        operator = started.start()
        wait(lambda: operator.leads)

        _claim(own_apiserver, "platform")  # as kubectl apply does, which asks nobody
        wait(lambda: operator.process.poll() is not None)
        assert "belongs to the mcp-operator in namespace platform" in operator.log.read_text()
        with pytest.raises(AssertionError, match="belongs to the mcp-operator in namespace platform"):
            started.start()


def _claim(api: SpareApiServer, namespace: str, **annotations: str) -> None:
    metadata = {
        "name": names.GUARD_ROLE,
        "annotations": {names.ANNOTATION_OPERATOR_NAMESPACE: namespace, **annotations},
    }
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": names.GUARD_ROLE}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata}
    api.kubectl.apply({**binding, "roleRef": reference})
