"""The operator with a thousand MCPServers, a thousand MCPAgents and five thousand Pods: how long, how much, how often.

An API server of its own, the real operator process with a builder that needs no engine, nodes that kwok plays, and a
scheduler. See README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests")]

import operator_processes  # noqa: E402 - found by the line above
import simulated  # noqa: E402
import spare_apiserver  # noqa: E402
import toolmans  # noqa: E402
from lab import programs, settings  # noqa: E402
from mcp_operator import access, cluster, kube, names  # noqa: E402
from mcp_operator.access import Access, Resource  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from operator_processes import Operator
    from spare_apiserver import SpareApiServer

LIMIT = 1800.0
"""Seconds for anything."""
HANDS = 8
AS_IN_THE_IMAGE = {"MALLOC_ARENA_MAX": "2"}
TICKS = os.sysconf("SC_CLK_TCK")
WRITES = ("create", "update", "patch", "delete")
CREATE_NAMESPACE = Access(verb="create", resource=Resource(plural="namespaces"))
CREATE = {plural: Access(verb="create", resource=each) for plural, each in access.OURS.items()}
PATCH_POLICY = Access(verb="patch", resource=access.OURS[names.POLICIES], content=access.MERGE_PATCH)
RESOURCES = {"ConfigMaps": access.CONFIG_MAPS, "Pods": access.PODS, "statuses": access.OURS[names.AGENTS]}
"""What a policy's change ends in, in the order in which it does."""
LIST_PODS = Access(verb="list", resource=access.PODS, accept=access.METADATA_LIST)
OWNED = f"{names.MANAGED_BY}={names.MANAGER},{names.LABEL_AGENT}"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1000, help="MCPServers, and as many MCPAgents (%(default)s)")
    parser.add_argument("--pods", type=int, default=5000, help="Pods in all, most of them strangers' (%(default)s)")
    parser.add_argument("--policies", type=int, default=10, help="ToolPolicies (%(default)s)")
    parser.add_argument("--per-namespace", type=int, default=20, help="of each kind in a namespace (%(default)s)")
    parser.add_argument("--rest", type=float, default=330.0, help="seconds for which it is watched (%(default)s)")
    given = parser.parse_args()
    chosen = settings.from_environment()
    programs.up(chosen)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, spare_apiserver.running() as api:
        os.environ["KUBECONFIG"] = str(api.kubeconfig)
        simulated.start(chosen, api)
        with operator_processes.operators(api, Path(folder)) as started:
            print(json.dumps(measure(given, started), indent=1), flush=True)
    return 0


def measure(given: argparse.Namespace, started: operator_processes.Operators) -> dict[str, float]:
    """Give the figures."""
    requests = kube.connect().requests
    found: dict[str, float] = {"load before": os.getloadavg()[0]}
    note("filling the cluster")
    fill(given, requests, started.api)
    note("first start: everything is built and made")
    with toolmans.answering():
        began = time.monotonic()
        operator = started.start(**AS_IN_THE_IMAGE)
        until(lambda: ready_agents(operator) >= given.objects and operator.steady("MCPServer", "MCPAgent"))
        found["first start, s"] = time.monotonic() - began
        operator.process.terminate()
        operator.process.wait(LIMIT)
        note("second start: everything is there")
        began = time.monotonic()
        operator = started.start(**AS_IN_THE_IMAGE)
        until(lambda: looks(operator) >= 2 * given.objects and operator.steady("MCPServer", "MCPAgent", "ToolPolicy"))
        found["start to steady, s"] = time.monotonic() - began
        found["processor time of that start, s"] = cpu(operator)
        found["writes of that start"] = writes(operator)
        note("a policy changes")
        found |= change_policy(given, requests, operator, started.api)
        time.sleep(10)
        note("at rest")
        found |= rest(operator, given.rest)
    found["load after"] = os.getloadavg()[0]
    return {name: round(value, 2) for name, value in found.items()}


def fill(given: argparse.Namespace, requests: kube.Requests, api: SpareApiServer) -> None:
    """Make nodes, namespaces, policies, servers, agents and strangers' Pods, and wait until those run."""
    simulated.add_nodes(api, requests, given.pods)
    spaces = [f"bench-{number}" for number in range(max(1, given.objects // given.per_namespace))]
    each(lambda name: requests(CREATE_NAMESPACE, body={"metadata": {"name": name, "labels": {"bench": "1"}}}), spaces)
    policies = [operator_processes.policy(f"cap-{number}") for number in range(given.policies)]
    each(lambda body: requests(CREATE[names.POLICIES], body=body), policies)

    def make(number: int) -> None:
        space, name = spaces[number % len(spaces)], f"x{number}"
        requests(CREATE[names.SERVERS], space, body=operator_processes.server(name))
        requests(CREATE[names.AGENTS], space, body=operator_processes.agent(name, name))

    def stranger(number: int) -> None:
        spec = {"containers": [{"name": "main", "image": "strange:1"}]}
        requests(
            access.CREATE_POD, spaces[number % len(spaces)], body={"metadata": {"name": f"p{number}"}, "spec": spec}
        )

    each(make, range(given.objects))
    each(stranger, range(given.pods - given.objects))
    waiting = {"fieldSelector": "status.phase!=Running", "resourceVersion": "0"}
    until(lambda: not requests(LIST_PODS, query=waiting)["items"])


def change_policy(
    given: argparse.Namespace, requests: kube.Requests, operator: Operator, api: SpareApiServer
) -> dict[str, float]:
    """Deny one more tool; wait until each ConfigMap says so, each Pod was told and each status tells of it."""
    servers = functools.partial(used_by, api, ("kube-apiserver", "etcd"))
    nodes = functools.partial(used_by, api, simulated.NAMES)
    used, written, served, simulating = cpu(operator), writes(operator), servers(), nodes()
    wait = Told(requests)
    began = time.monotonic()
    requests(PATCH_POLICY, name="cap-0", body={"spec": {"tools": {"deny": ["drop_*", "read"]}}})
    found: dict[str, float] = {}
    for what, resource in RESOURCES.items():
        until(functools.partial(wait.reached, resource, given.objects), 0.05)
        found[f"policy change to all {what}, s"] = time.monotonic() - began
        found[f"processor time until then ({what}), s"] = cpu(operator) - used
    until(operator.steady)
    found["processor time of that change, s"] = cpu(operator) - used
    found["... of the API server and etcd, s"] = servers() - served
    found["... of kwok and the scheduler, s"] = nodes() - simulating
    found["writes of that change"] = writes(operator) - written
    return found


class Told:
    """Counts what has changed since it was made, as watches tell of it: looking must not cost what is measured.

    Args:
        requests: To the API server.
    """

    def __init__(self, requests: kube.Requests) -> None:
        self._requests = requests
        self._changed: dict[Resource, set[str]] = {resource: set() for resource in RESOURCES.values()}
        self._threads = {resource: self._thread(resource) for resource in self._changed}

    def reached(self, resource: Resource, count: int) -> bool:
        """Say whether so many objects have changed.

        Raises:
            cluster.UnreachableError: Nobody will say so any more.
        """
        is_told = self._threads[resource].is_alive()
        if len(self._changed[resource]) >= count:
            return True
        if not is_told:
            raise cluster.UnreachableError(f"the watch of {resource.full} has ended")
        return False

    def _thread(self, resource: Resource) -> threading.Thread:
        thread = threading.Thread(target=self._follow, args=(resource, self._version(resource)), daemon=True)
        thread.start()
        return thread

    def _version(self, resource: Resource) -> str:
        right = Access(verb="list", resource=resource, accept=access.METADATA_LIST)
        return str(self._requests(right, query={"limit": "1"})["metadata"]["resourceVersion"])

    def _follow(self, resource: Resource, version: str) -> None:
        right = Access(verb="watch", resource=resource, accept=access.METADATA_ONLY)
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(int(LIMIT))}
        if not resource.group:
            query["labelSelector"] = OWNED
        with contextlib.suppress(cluster.ClusterError):  # as it ends with the API server
            for event in self._requests.stream(right, "", query):
                self._changed[resource].add(event["object"]["metadata"]["uid"])


def rest(operator: Operator, seconds: float) -> dict[str, float]:
    """Watch a process that has nothing to do."""
    used, written, looked, began = cpu(operator), writes(operator), looks(operator), time.monotonic()
    asked = requests_made(operator)
    time.sleep(seconds)
    took = time.monotonic() - began
    return {
        "CPU at rest, % of a core": (cpu(operator) - used) / took * 100,
        "RSS at rest, MB": rss(operator),
        "writes at rest": writes(operator) - written,
        "looks at rest": looks(operator) - looked,
        "requests at rest": requests_made(operator) - asked,
    }


def looks(operator: Operator) -> int:
    """Say how many reconciliations of servers and agents there were."""
    prefix = tuple(f'mcp_operator_reconcile_seconds_count{{kind="{kind}"' for kind in ("MCPServer", "MCPAgent"))
    return sum(int(line.rpartition(" ")[2]) for line in operator.metrics if line.startswith(prefix))


def requests_made(operator: Operator) -> int:
    """Say how many requests there were to the API server."""
    lines = [line for line in operator.metrics if line.startswith("mcp_operator_api_requests_total{")]
    return sum(int(line.rpartition(" ")[2]) for line in lines)


def ready_agents(operator: Operator) -> int:
    """Say how many agents are ready."""
    prefix = 'mcp_operator_conditions{kind="MCPAgent",type="Ready",status="True"'
    return sum(int(line.rpartition(" ")[2]) for line in operator.metrics if line.startswith(prefix))


def writes(operator: Operator) -> int:
    """Say how often it wrote anything but its Lease."""
    lines = [line for line in operator.metrics if line.startswith("mcp_operator_api_requests_total")]
    mine = [line for line in lines if any(f'verb="{verb}"' in line for verb in WRITES) and '"leases"' not in line]
    return sum(int(line.rpartition(" ")[2]) for line in mine)


def cpu(operator: Operator) -> float:
    """Give the seconds of processor time that an operator has used."""
    return seconds_of(operator.process.pid)


def used_by(api: SpareApiServer, started: Iterable[str]) -> float:
    """Give the seconds of processor time that programs beside an API server have used."""
    return sum(seconds_of(number) for name in started if (number := api.processes.pid(name)) is not None)


def seconds_of(number: int) -> float:
    """Give the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(operator: Operator) -> float:
    """Give the memory of a process."""
    lines = Path(f"/proc/{operator.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def until(reached: Callable[[], bool], pause: float = 0.5) -> None:
    """Wait."""
    deadline = time.monotonic() + LIMIT
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause)


def each(do: Callable[[Any], object], values: Iterable[Any]) -> None:
    """Do something with each value, several at a time."""

    def one(value: object) -> None:
        try:
            do(value)
        except cluster.ConflictError:
            return

    with ThreadPoolExecutor(HANDS) as hands:
        list(hands.map(one, values))


def note(text: str) -> None:
    """Say what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
