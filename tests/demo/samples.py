"""Applies ``deploy/samples`` and waits, showing what the resources say about themselves."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from demo.console import DemoError
from demo.programs import ROOT

if TYPE_CHECKING:
    from demo.console import Console
    from demo.programs import Programs

FOLDER = ROOT / "deploy" / "samples"
NAMESPACE = "toolman-demo"
"""As the samples say."""
KINDS = "mcpservers.toolman.dev,mcpagents.toolman.dev"
AGENT_IMAGE = re.compile(r"(?<=image: )\S*/sample-agent[:@]\S+")

READY_SECONDS = 900.0
"""All builds from nothing on a slow machine."""
POLL_SECONDS = 1.0
DESCRIBED_LINES = 40


def apply(console: Console, programs: Programs, agent_image: str) -> None:
    """Apply the samples, with the sample agent's image as it was built here."""
    with console.step("Apply deploy/samples"):
        for path in sorted(FOLDER.glob("*.yaml")):
            text = AGENT_IMAGE.sub(agent_image, path.read_text())
            console.block(programs.kubectl("apply", "--server-side", "-f", "-", data=text))


def wait(console: Console, programs: Programs, toolman_image: str) -> None:
    """Wait until everything is ready, with a line for every change that ``kubectl get`` would show.

    Args:
        console: To show it.
        programs: To ask with.
        toolman_image: What the Pods must run: after an upgrade the operator replaces them.

    Raises:
        DemoError: Something is stalled or not ready in time; with what ``kubectl describe`` says about it.
    """
    with console.step("From git to a running agent (kubectl get mcps,mcpa)"):
        deadline = time.monotonic() + READY_SECONDS
        seen: dict[str, str] = {}
        while not (_ready(console, programs, seen) and _runs(programs, toolman_image)):
            if time.monotonic() > deadline:
                late = [entry for entry in programs.objects(NAMESPACE, KINDS) if not condition(entry, "Ready")]
                raise _described(programs, late[0] if late else None, f"is not ready after {READY_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)
    console.block(programs.kubectl("get", "-n", NAMESPACE, f"{KINDS},pods"))


def _ready(console: Console, programs: Programs, seen: dict[str, str]) -> bool:
    """Look once: show what has changed since ``seen``, and tell whether everything is ready."""
    found = programs.objects(NAMESPACE, KINDS)
    for entry in found:
        name = f"{entry['kind'].lower()}/{entry['metadata']['name']}"
        if seen.get(name) != summary(entry):
            seen[name] = summary(entry)
            console.line(f"         {name:24} {seen[name]}")
        if condition(entry, "Stalled"):
            raise _described(programs, entry, "is stalled")
    return bool(found) and all(condition(entry, "Ready") for entry in found)


def _runs(programs: Programs, toolman_image: str) -> bool:
    pods = [pod for pod in programs.objects(NAMESPACE, "pods") if "deletionTimestamp" not in pod["metadata"]]
    images = [{container["image"] for container in pod["spec"].get("initContainers", [])} for pod in pods]
    return bool(pods) and all(toolman_image in found for found in images)


def summary(entry: dict[str, Any]) -> str:
    """Give an object's own phrase about its state."""
    return str(entry.get("status", {}).get("summary") or "not seen by the operator yet")


def condition(entry: dict[str, Any], kind: str) -> bool:
    """Tell whether a condition is true of the object as it is now, not as it was before its last change."""
    generation = entry["metadata"]["generation"]
    return any(
        one["type"] == kind and one["status"] == "True" and one.get("observedGeneration", generation) == generation
        for one in entry.get("status", {}).get("conditions", [])
    )


def _described(programs: Programs, entry: dict[str, Any] | None, what: str) -> DemoError:
    if entry is None:
        return DemoError("the samples hold neither an MCPServer nor an MCPAgent")
    name = f"{entry['kind'].lower()}/{entry['metadata']['name']}"
    lines = programs.kubectl("describe", "-n", NAMESPACE, name).splitlines()
    pods = programs.attempt("kubectl", "get", "pods", "-n", NAMESPACE, "-o", "wide").stdout
    details = "\n".join(lines[-DESCRIBED_LINES:])
    return DemoError(f"{name} {what}: {summary(entry)}", f"{details}\n--- kubectl get pods -n {NAMESPACE}\n{pods}")
