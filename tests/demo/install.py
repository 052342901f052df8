"""Everything before the first ``kubectl apply``: cluster, images, git server, operator."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab import processes, settings

from demo.console import DemoError
from demo.programs import ROOT, SCRIPTS

if TYPE_CHECKING:
    from demo.console import Console
    from demo.programs import Programs

RELEASE = "mcp-operator"
OPERATOR_NAMESPACE = "mcp-system"
CHART = ROOT / "charts" / "mcp-operator"
GITHUB = "https://github.com/"
PROBED = f"{GITHUB}modelcontextprotocol/servers.git"

TAG = "demo"
LABEL = "toolman.dev/project=toolman"
"""Of the project's own images and of the stages that they are built in."""
LAB = str(SCRIPTS / "lab")
STARTED = "started"
"""File with the parts of the lab that the demo started, so that it ends them and no others."""
GIT_SERVER = "demo-git-server"
INSTALL_SECONDS = 900.0
"""uv fetches everything the first time."""
LAB_SECONDS = 3600.0
"""Kubernetes is compiled the first time."""
IMAGES_SECONDS = 1200.0
HELM_SECONDS = 240.0
GIT_SERVER_SECONDS = 120.0
"""It fetches the published servers the first time."""
PROBE_SECONDS = 20.0


def folder() -> Path:
    """Give the folder of what the demo remembers: pid files, logs, what of the lab it started."""
    return settings.from_environment().folder("demo")


def machine(console: Console, programs: Programs) -> None:
    """Bring up engine, registry and cluster, or find them."""
    if not (ROOT / ".venv").exists():
        with console.step("Install the project (scripts/install)"):
            programs.show(str(SCRIPTS / "install"), seconds=INSTALL_SECONDS)
    with console.step("Docker Engine, registry and Kubernetes (scripts/lab up)"):
        before = lab_parts(programs)
        try:
            programs.show(LAB, "up", seconds=LAB_SECONDS)
        finally:
            started = folder() / STARTED
            known = set(started.read_text().split()) if started.exists() else set()
            started.write_text("\n".join(sorted(known | lab_parts(programs) - before)))
        programs.adopt(programs.run(LAB, "env"))
    version = json.loads(programs.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    console.line(f"         Kubernetes {version}, registry {programs.environ['TOOLMAN_REGISTRY']}")


def lab_parts(programs: Programs) -> set[str]:
    """Give the parts of the lab that run and are not a person's own."""
    return set(programs.attempt(LAB, "status").stdout.split())


def images(console: Console, programs: Programs) -> dict[str, str]:
    """Build and push the images; gives their references by digest."""
    with console.step("Build and push the images (scripts/images)"):
        programs.environ["TOOLMAN_TAG"] = TAG
        script = str(SCRIPTS / "images")
        output = programs.follow(script, hear=lambda line: console.line(f"         {line}"), seconds=IMAGES_SECONDS)
    references = dict(line.split("=", 1) for line in output.splitlines())
    for reference in references.values():
        console.line(f"         {reference}")
    return references


def git_mirror(console: Console, programs: Programs) -> str | None:
    """Give the mirror to clone from in place of GitHub, where GitHub cannot be reached; None where it can."""
    environment = {**programs.environ, "GIT_TERMINAL_PROMPT": "0"}
    probe = type(programs)(environment).attempt("git", "ls-remote", PROBED, "HEAD", seconds=PROBE_SECONDS)
    if probe.returncode == 0:
        console.line("         GitHub is reachable: sources are cloned from there")
        return None
    host = programs.environ.get("TOOLMAN_NODE_ADDRESS", "")
    if not host:
        raise DemoError("GitHub cannot be reached, and no TOOLMAN_NODE_ADDRESS says where a stand-in can be served")
    with console.step("GitHub cannot be reached: serve published servers from a git server here"):
        running = processes.Processes(folder())
        ready = folder() / "git-server"
        command = (sys.executable, "-m", "sources", "serve", "--host", host, "--pid-file", str(ready))
        if not running.pid(GIT_SERVER):
            ready.unlink(missing_ok=True)
        running.start(GIT_SERVER, *command, env={**programs.environ, "PYTHONPATH": str(ROOT / "tests")})
        running.wait(GIT_SERVER, lambda: ready.is_file() and bool(ready.read_text()), GIT_SERVER_SECONDS)
    url = ready.read_text().split()[1]
    console.line(f"         {GITHUB} is taken from {url}github.com/")
    return f"{url}github.com/"


def values(programs: Programs, references: dict[str, str], mirror: str | None) -> dict[str, object]:
    """Give the chart's values for this machine.

    Raises:
        DemoError: The engine's socket is not where the environment says.
    """
    environ = programs.environ
    socket = Path(environ.get("TOOLMAN_ENGINE_SOCKET", "/var/run/docker.sock"))
    try:
        group = socket.stat().st_gid
    except OSError as error:
        raise DemoError(f"{socket}: {error.strerror}: set TOOLMAN_ENGINE_SOCKET to the engine's socket") from None
    given: dict[str, object] = {
        "images": {
            "operator": references["operator"],
            "toolman": references["toolman"],
            "wrapper": references["mcp-wrapper"],
        },
        "registry": environ["TOOLMAN_REGISTRY"],
        "engine": {"socket": str(socket), "socketGroup": group},
    }
    for name, variable in (("basePython", "TOOLMAN_BASE_PYTHON"), ("baseNode", "TOOLMAN_BASE_NODE")):
        if environ.get(variable):
            given[name] = environ[variable]
    if environ.get("TOOLMAN_CA_FILE"):
        given["build"] = {"caBundle": Path(environ["TOOLMAN_CA_FILE"]).read_text()}
    if mirror:
        given["git"] = {"protocols": ["http", "https"], "mirrors": [f"{GITHUB}={mirror}"]}
    return given


def operator(console: Console, programs: Programs, chart_values: dict[str, object]) -> None:
    """Install or upgrade the release and wait until the operator is ready.

    Raises:
        DemoError: It does not become ready; with what the cluster says about it.
    """
    with console.step("Install the operator (helm upgrade --install)"):
        command = ["helm", "upgrade", "--install", RELEASE, str(CHART), "--namespace", OPERATOR_NAMESPACE]
        command += ["--create-namespace", "--wait", "--timeout", f"{HELM_SECONDS:.0f}s", "--values", "-"]
        try:
            programs.run(*command, data=json.dumps(chart_values), seconds=HELM_SECONDS + 30)
        except DemoError as error:
            raise DemoError(str(error), f"{error.details}\n{operator_state(programs)}") from error


def operator_state(programs: Programs) -> str:
    """Give the end of the operator's log and of what the cluster says about its Pod."""
    here = ("-n", OPERATOR_NAMESPACE)
    parts = []
    for command in (("describe", "pod", *here), ("logs", *here, f"deployment/{RELEASE}", "--tail=20")):
        done = programs.attempt("kubectl", *command)
        lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
        parts.append(f"--- kubectl {' '.join(command)}\n" + "\n".join(lines[-20:]))
    return "\n".join(parts)
