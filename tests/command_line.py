"""``mcp-operator`` as a person runs it, and a small server for it to build."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp_operator import __main__
from mcp_operator.commands import arguments

if TYPE_CHECKING:
    from pathlib import Path

    import docker
    from lab.environment import Environment

SECONDS = 500
SERVER = """import json, sys

TOOLS = [{"name": "add", "inputSchema": {"type": "object"}}]


def answer(method):
    if method == "initialize":
        info = {"name": "demo", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    return {"tools": TOOLS} if method == "tools/list" else None


if __name__ == "__main__":
    for line in sys.stdin:
        call = json.loads(line)
        if "id" in call:
            print(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": answer(call["method"])}), flush=True)
"""
PROJECT = '[project]\nname = "demo"\nversion = "1.2.3+build"\ndependencies = []\n'
FOR_EVER = "import time\ntime.sleep(600)\n"


@dataclass
class Command:
    """Runs the command line with this test's own home and installation-independent settings."""

    environ: dict[str, str]
    registry: str
    owners: set[str] = field(default_factory=set)

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        self._note(words)
        return subprocess.run(
            [sys.executable, "-m", "mcp_operator", *words],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Run it on, with pipes of the test's own."""
        self._note(words)
        return subprocess.Popen(
            # Tests may run in the background, where shells have interrupts ignored, and that is handed on.
            ["env", "--default-signal", sys.executable, "-m", "mcp_operator", *words],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _note(self, words: tuple[str, ...]) -> None:
        if words[:1] == ("build",):
            with contextlib.suppress(arguments.UsageError, __main__.MisusedError):
                self.owners.add(owner(*words[1:]))

    def build(self, *words: str, **environ: str) -> dict[str, Any]:
        """Build what can be built, and give the document."""
        done = self.run("build", *words, "--output", "json", **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))


def of(lab: Environment, home: Path) -> Command:
    """Give the command for a lab's engine, registry and base images."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TOOLMAN_BASE_PYTHON": lab.base_python,
        "TOOLMAN_BASE_NODE": lab.base_node,
        "TOOLMAN_BUILD_CA_FILE": lab.ca_file,
        "TOOLMAN_GIT_PROTOCOLS": "http,https,ssh",
        **{name: os.environ[name] for name in ("DOCKER_HOST", "SSL_CERT_FILE") if name in os.environ},
    }
    # A subprocess is measured as well, where this process is.
    environ |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return Command(environ, lab.registry)


def labelled(engine: docker.DockerClient, label: str) -> list[dict[str, Any]]:
    """List images without looking at each: others come and go meanwhile."""
    return list(engine.api.images(filters={"label": label}))


def project(folder: Path, *, server: str = SERVER) -> Path:
    """Make the folder of a server."""
    folder.mkdir()
    (folder / "server.py").write_text(server)
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def owner(*words: str) -> str:
    """Give the owner of what a build makes, from the options that say what is built."""
    return arguments.request(__main__.parser().parse_args(arguments.joined(["build", *words]))).uid


def never_ending(folder: Path) -> None:
    """Let the build of a project take for ever."""
    (folder / "setup.py").write_text(FOR_EVER)
    (folder / "pyproject.toml").write_text(PROJECT + '[build-system]\nrequires = ["setuptools"]\n')


def until_it_builds(running: subprocess.Popen[str]) -> None:
    """Wait until a build that takes for ever is at it."""
    until_it_says(running, "Step", "uv", "install")


def until_it_says(running: subprocess.Popen[str], *words: str) -> None:
    """Wait until there are these words in a line of what it tells."""
    assert running.stderr is not None
    for line in running.stderr:
        if all(word in line for word in words):
            return
    raise AssertionError("it ended before")
