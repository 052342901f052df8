"""``mcp-operator build`` and ``images`` as a person runs them: a real engine, a real registry, no cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator import names
from mcp_operator.images import cleanup
from sources import repositories, ssh

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from lab.environment import Environment
    from sources.server import GitServer

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-23")]

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


@dataclass
class Command:
    """Runs the command line with this test's own home and installation-independent settings."""

    environ: dict[str, str]
    registry: str

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mcp_operator", *words],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def build(self, *words: str, **environ: str) -> dict[str, Any]:
        done = self.run("build", *words, "--output", "json", **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))


def labelled(engine: docker.DockerClient, label: str) -> list[dict[str, Any]]:
    """List images without looking at each: others come and go meanwhile."""
    return list(engine.api.images(filters={"label": label}))


@pytest.fixture
def command(lab: Environment, engine: docker.DockerClient, tmp_path: Path) -> Iterator[Command]:
    before = {image["Id"] for image in labelled(engine, names.LABEL_UID)}
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TOOLMAN_BASE_PYTHON": lab.base_python,
        "TOOLMAN_BASE_NODE": lab.base_node,
        "TOOLMAN_BUILD_CA_FILE": lab.ca_file,
        "TOOLMAN_GIT_PROTOCOLS": "http,https,ssh",
        **{name: os.environ[name] for name in ("DOCKER_HOST", "SSL_CERT_FILE") if name in os.environ},
    }
    yield Command(environ, lab.registry)
    made = labelled(engine, f"{names.LABEL_INSTALLATION}=command-line")
    for uid in {image["Labels"][names.LABEL_UID] for image in made if image["Id"] not in before}:
        cleanup.forget(uid)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / f"demo-{uuid.uuid4().hex[:8]}"
    made.mkdir()
    (made / "server.py").write_text(SERVER)
    (made / "pyproject.toml").write_text(PROJECT)
    return made


@pytest.mark.requirement("B-01", "B-14", "B-20")
def test_a_folder_becomes_a_pushed_image_and_is_found_again(
    command: Command, folder: Path, engine: docker.DockerClient
) -> None:
    repository = f"{command.registry}/command-tests/{folder.name}"
    where = ("--dir", str(folder), "--repository", repository, "--push")
    templates = ("--tag", "v{version}", "--tag", "mcp-{deploymentId}:latest", "--tag", "{commit}")

    first = command.build(*where, *templates, "--deployment-id", "Demo/One")

    key = first["image"]["tags"][0]
    beside = f"{command.registry}/command-tests/mcp-demo-one:latest"
    assert first["image"]["tags"][1:] == [f"{repository}:v1.2.3-build", beside]
    assert first["image"]["digest"].startswith("sha256:")
    assert first["reused"] is False
    assert [tool["name"] for tool in first["manifest"]["tools"]] == ["add"]
    assert any("{commit}" in warning for warning in first["warnings"])

    again = command.build(*where, "--tag", "newer", "--deployment-id", "Demo/One")
    assert again["reused"] is True
    assert again["image"]["tags"] == [key, f"{repository}:newer"]
    assert again["image"]["digest"] == first["image"]["digest"]
    assert again["manifest"] == first["manifest"]
    assert engine.images.get(f"{repository}:newer").id == first["image"]["id"]

    (folder / "server.py").write_text(SERVER.replace('"add"', '"plus"'))
    changed = command.build(*where, "--tag", "newer", "--deployment-id", "Demo/One")
    assert changed["reused"] is False
    assert [tool["name"] for tool in changed["manifest"]["tools"]] == ["plus"]

    listed = json.loads(command.run("images", "list", "--output", "json").stdout)["images"]
    assert {tag for image in listed if image["repository"] == repository for tag in image["tags"]} >= {"newer"}
    assert command.run("images", "prune", "--keep", "1", "--dry-run").returncode == 0


@pytest.mark.requirement("B-01")
def test_a_private_repository_is_built_by_token_and_by_key_and_the_commit_is_told(
    command: Command, folder: Path, git_server: GitServer, tmp_path: Path
) -> None:
    files = {path.name: (False, path.read_bytes()) for path in folder.iterdir()}
    shutil.rmtree(git_server.root / repositories.PRIVATE)
    commit = repositories.create(git_server.root / repositories.PRIVATE, files)
    repositories.tag(git_server.root / repositories.PRIVATE, "v9")
    user, token = repositories.CREDENTIALS
    (tmp_path / "token").write_text(token)
    by_token = ("--git", git_server.url(repositories.PRIVATE), "--git-user", user, "--ref", "v9")

    done = command.run(
        "build", *by_token, "--git-token-file", str(tmp_path / "token"), "--output", "json", "--tag", "{commit}"
    )

    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["source"]["commit"] == commit
    assert document["image"]["tags"][1].endswith(f":{commit[:12]}")
    logs = Path(command.environ["HOME"]) / ".local/state/mcp-operator/builds"
    assert not [path for path in logs.iterdir() if token in path.read_text()]
    with ssh.serving(git_server.root, tmp_path / "sshd") as server:
        (tmp_path / "key").write_text(server.key)
        (tmp_path / "hosts").write_text(server.known_hosts)
        keys = ("--git-key-file", str(tmp_path / "key"), "--git-known-hosts", str(tmp_path / "hosts"))
        planned = command.build("--git", server.url(repositories.PRIVATE), *keys, "--dry-run")
    assert planned["source"]["commit"] == commit


@pytest.mark.requirement("B-01")
@pytest.mark.parametrize(
    ("source", "language", "tool"),
    [
        (("--pypi", "mcp-server-time==2025.9.25"), "python", "get_current_time"),
        (("--npm", "@modelcontextprotocol/server-sequential-thinking@2025.7.1"), "node", "sequentialthinking"),
    ],
)
def test_a_published_package_becomes_an_image(
    command: Command, source: tuple[str, str], language: str, tool: str
) -> None:
    document = command.build(*source)

    assert document["runtime"]["language"] == language
    assert tool in {entry["name"] for entry in document["manifest"]["tools"]}
    assert document["source"]["commit"] == source[1].rpartition("=" if "==" in source[1] else "@")[2]
    assert document["image"]["digest"] is None


def test_a_failure_is_json_with_its_reason_and_exit_code_1(command: Command) -> None:
    broken = Path(__file__).parents[1] / "servers" / "not-a-server"

    done = command.run("build", "--dir", str(broken), "--output", "json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["reason"] == "NotAnMCPServer"


def test_a_dry_run_and_a_printed_dockerfile_build_nothing(
    command: Command, folder: Path, engine: docker.DockerClient
) -> None:
    dry = command.run("build", "--dir", str(folder), "--dry-run", "--repository", "r.test/x", "--push")
    printed = command.run("build", "--dir", str(folder), "--print-dockerfile")

    assert (dry.returncode, printed.returncode) == (0, 0)
    assert "would be pushed as" in dry.stdout
    assert "r.test/x:latest" in dry.stdout
    assert printed.stdout.startswith(("FROM", "#"))
    assert "COPY source/ /app/" in printed.stdout
    assert not [image for image in labelled(engine, names.LABEL_DEPLOYMENT) if folder.name in str(image["Labels"])]


@pytest.mark.parametrize(
    "words", [("build",), ("build", "--npm", "x", "--push"), ("build", "--npm", "x", "--tag", "{what}"), ("images",)]
)
def test_wrong_usage_ends_with_2_and_says_nothing_on_stdout(command: Command, words: tuple[str, ...]) -> None:
    done = command.run(*words)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


@pytest.mark.requirement("B-13")
def test_an_interrupted_build_leaves_nothing(command: Command, folder: Path, engine: docker.DockerClient) -> None:
    (folder / "setup.py").write_text("import time\ntime.sleep(600)\n")
    (folder / "pyproject.toml").write_text(PROJECT + '[build-system]\nrequires = ["setuptools"]\n')
    words = [sys.executable, "-m", "mcp_operator", "build", "--dir", str(folder), "--output", "json"]
    with subprocess.Popen(words, env=command.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "Step" in line and "uv" in line:
                break
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=60)

    assert run.returncode == 1
    assert json.loads(out)["error"]["reason"] == "Cancelled"
    assert not list(Path(tempfile.gettempdir()).glob("toolman-lock-cli-*"))
    assert not [image for image in labelled(engine, names.LABEL_DEPLOYMENT) if folder.name in str(image["Labels"])]
