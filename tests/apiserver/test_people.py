"""The chart's roles for people, judged by an API server that adds them to its own ``view`` and ``edit``."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab.processes import poll
from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubectl import Kubectl
    from spare_apiserver import SpareApiServer

CHART = Path(__file__).parents[2] / "charts" / "mcp-operator"
SECONDS = 30.0
READ, WRITE = ("get", "list", "watch"), ("create", "update", "patch", "delete")

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-34")]


def test_viewers_read_editors_write_agents_and_nobody_touches_policies_or_statuses(
    own_apiserver: SpareApiServer,
) -> None:
    own_apiserver.collect("clusterrole-aggregation-controller")
    with own_apiserver.namespace("team") as kubectl:
        kubectl("apply", "-f", "-", stdin=_roles())
        for role in ("view", "edit", "admin"):
            kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}")
        kubectl("create", "rolebinding", "builder", "--clusterrole=mcp-operator-servers", "--user=builder")
        kubectl("create", "clusterrolebinding", "auditor", "--clusterrole=view", "--user=auditor")
        kubectl("create", "clusterrolebinding", "keeper", "--clusterrole=mcp-operator-policies", "--user=keeper")
        agents, servers, policies = (names.AGENTS,), (names.SERVERS,), (names.POLICIES,)
        assert poll(lambda: _verbs(kubectl, "admin", agents) >= {*WRITE}, SECONDS), "nothing was aggregated"

        everything = {*READ, *WRITE}
        people = ("view", "edit", "admin", "builder", "auditor", "keeper")
        found = {person: [_verbs(kubectl, person, kinds) for kinds in (agents, servers, policies)] for person in people}
        assert found == {
            "view": [{*READ}, {*READ}, set()],
            "edit": [everything, {*READ}, set()],
            "admin": [everything, {*READ}, set()],
            "builder": [set(), everything, set()],
            "auditor": [{*READ}, {*READ}, {*READ}],
            "keeper": [set(), set(), everything],
        }
        statuses = [f"{kind}/status" for kind in (*agents, *servers, *policies)]
        assert [person for person in people if _verbs(kubectl, person, statuses)] == []

        kubectl("apply", "-f", "-", stdin=_roles("--set", "aggregateRoles.servers=true"))
        assert poll(lambda: _verbs(kubectl, "edit", servers) == everything, SECONDS)


def _verbs(kubectl: Kubectl, person: str, resources: Sequence[str]) -> set[str]:
    """Ask what somebody may do with any of these resources, in the namespace."""
    questions = [(verb, resource) for verb in (*READ, *WRITE) for resource in resources]
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": person, "resourceAttributes": _attributes(kubectl.namespace, verb, resource)},
        }
        for verb, resource in questions
    ]
    objects = {"apiVersion": "v1", "kind": "List", "items": reviews}
    answers = kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}{'\\n'}", stdin=json.dumps(objects)).split()
    return {verb for (verb, _), answer in zip(questions, answers, strict=True) if answer == "true"}


def _attributes(namespace: str, verb: str, resource: str) -> dict[str, str]:
    kind, _, sub = resource.partition("/")
    where = {} if kind == names.POLICIES else {"namespace": namespace}
    return {"group": names.GROUP, "resource": kind, "subresource": sub, "verb": verb, **where}


def _roles(*arguments: str) -> str:
    helm = shutil.which("helm") or str(Path.home() / ".cache" / "toolman" / "bin" / "helm")
    values = ("--values", str(CHART / "ci" / "values.yaml"), *arguments)
    command = (helm, "template", "mcp-operator", str(CHART), "--kube-version", "1.33.0", *values)
    done = subprocess.run(
        [*command, "--show-only", "templates/people.yaml"], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout
