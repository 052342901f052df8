"""Figures of a running installation: builds, image sizes, how soon an agent is ready and a policy in force.

    scripts/demo                                        # or any installation with the samples
    KUBECONFIG=... python benchmarks/installation/measure.py [ROUNDS]

Prints a Markdown table. Works in the namespace of the samples and removes what it makes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "toolman-demo"
SECONDS = 120
POLICY = {
    "apiVersion": "toolman.dev/v1alpha1",
    "kind": "ToolPolicy",
    "metadata": {"name": "measured"},
    "spec": {"target": {"servers": ["time"]}, "tools": {"deny": ["convert_*"]}},
}


def kubectl(*arguments: str, data: str = "") -> str:
    done = subprocess.run(
        ["kubectl", "-n", NAMESPACE, *arguments], input=data, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def seconds_until(check: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not check():
        if time.monotonic() - began > SECONDS:
            sys.exit(f"not within {SECONDS} s")
    return time.monotonic() - began


def agent_ready() -> float:
    """From ``kubectl apply`` of an agent whose servers' images are built to its condition Ready."""
    agent = json.loads(kubectl("get", "mcpagent", "assistant", "-o", "json"))
    agent = {key: agent[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "measured"}}
    began = time.monotonic()
    kubectl("apply", "-f", "-", data=json.dumps(agent))
    kubectl("wait", "--for=condition=Ready", "mcpagent/measured", f"--timeout={SECONDS}s")
    took = time.monotonic() - began
    kubectl("delete", "mcpagent", "measured", "--wait")
    kubectl("wait", "--for=delete", "pod/measured", f"--timeout={SECONDS}s")
    return took


def policy_in_force() -> float:
    """From ``kubectl apply`` of a policy to the mounted configuration in toolman's container; one look takes 0.1 s."""
    show = ("exec", "assistant", "-c", "toolman", "--", "cat", "/etc/toolman/toolman.json")
    kubectl("apply", "-f", "-", data=json.dumps(POLICY))
    took = seconds_until(lambda: "ToolPolicy/measured" in kubectl(*show))
    kubectl("delete", "toolpolicy", "measured")
    seconds_until(lambda: "ToolPolicy/measured" not in kubectl(*show))
    return took


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("| what | median | range |\n|---|---|---|")
    for what, measure in (
        ("agent Ready after apply, s", agent_ready),
        ("policy in force after apply, s", policy_in_force),
    ):
        values = [measure() for _ in range(rounds)]
        print(f"| {what} | {statistics.median(values):.1f} | {min(values):.1f} to {max(values):.1f} |")
    for server in json.loads(kubectl("get", "mcpservers", "-o", "json"))["items"]:
        status, name = server["status"], server["metadata"]["name"]
        print(f"| build of `{name}`, s | {status['build']['seconds']} | |")
        print(f"| image of `{name}`, MB | {status['image']['size'] / 1e6:.0f} | |")


if __name__ == "__main__":
    main()
