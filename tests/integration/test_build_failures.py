"""Builds that really fail: the reason that is given, and that what is suggested helps."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from lab import commands
from lab.pki import Authority
from mcp_operator import names
from mcp_operator.images import cleanup, diagnosis
from mcp_operator.images.budget import Budget
from mcp_operator.images.build_log import BuildLog
from mcp_operator.images.contract import BuildCancelled, BuildError, Step
from mcp_operator.images.engine import BuildFailedError, Engine, transfers
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import docker
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-12")]

MEMORY = 64 * 2**20


@dataclass
class Docker:
    """Builds Dockerfiles under an owner of this test's own."""

    bases: dict[str, str]
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    cancelled: threading.Event = field(default_factory=threading.Event)
    lines: list[str] = field(default_factory=list)

    def build(self, base: str, script: str, files: Mapping[str, str] | None = None) -> str:
        """Build, and give the image's ID."""
        texts = {**(files or {}), "script.sh": script}
        texts["Dockerfile"] = (
            f"FROM {self.bases.get(base, base)}\nLABEL {names.LABEL_UID}={self.uid}\nWORKDIR /app\nCOPY . .\n"
            'RUN ["sh", "-e", "script.sh"]\n'
        )
        return self.raw(texts)

    def raw(self, texts: Mapping[str, str]) -> str:
        """Build from files, one of which is the Dockerfile."""
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, text in texts.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        context.seek(0)
        self.log = BuildLog()
        with Engine() as engine:
            return engine.build(context, "Dockerfile", self.log, Budget(240, self.cancelled), self.lines.append)

    def fail(self, base: str, script: str, files: Mapping[str, str] | None = None) -> BuildError:
        """Build what fails, and give what is said."""
        with pytest.raises(BuildFailedError) as caught:
            self.build(base, script, files)
        return diagnosis.failed(self.log, str(caught.value))


@pytest.fixture
def docker_builds(lab: Environment, engine: docker.DockerClient) -> Iterator[Docker]:
    """Give a builder; its images are removed afterwards."""
    made = Docker({"node": lab.base_node, "python": lab.base_python, "debian": lab.base_debian})
    yield made
    label: dict[str, str | list[str] | bool] = {"label": f"{names.LABEL_UID}={made.uid}"}
    with Engine() as ours:
        cleanup.undo(ours, made.uid)  # as the pipeline does: the engine takes a moment to end a step
    assert engine.images.list(filters=label) == []
    assert engine.containers.list(all=True, filters=label) == []


class Case(NamedTuple):
    """A build that fails: what it runs, with which files, and what is to be said of it."""

    base: str
    script: str
    files: dict[str, str]
    reason: Reason
    said: str
    hint: str


def package(**more: object) -> str:
    return json.dumps({"name": "x", "version": "1.0.0", **more})


def lock(**dependencies: str) -> str:
    root = {"name": "x", "version": "1.0.0", **({"dependencies": dependencies} if dependencies else {})}
    return json.dumps({"name": "x", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": root}})


SETUP = "from setuptools import Extension, setup\nsetup(name='x', ext_modules=[Extension('x', ['x.c'])])\n"
TLS = """\
import ssl, subprocess, sys, threading, http.server
server = http.server.HTTPServer(("localhost", 0), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("pair.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"https://localhost:{server.server_port}/x.tar.gz"
sys.exit(subprocess.run(["pip", "download", "--no-deps", "--retries=0", url]).returncode)
"""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            Case(
                "node",
                "npm ci",
                {"package.json": package(dependencies={"left-pad": "1.3.0"}), "package-lock.json": lock()},
                Reason.DEPENDENCY_FAILED,
                "can only install packages when",
                "commit it",
            ),
            id="lock out of date",
        ),
        pytest.param(
            Case(
                "node",
                "npm run build",
                {"package.json": package(scripts={"build": "tsc -p ."})},
                Reason.COMPILE_FAILED,
                "tsc: not found",
                "(tsc): add it to devDependencies",
            ),
            id="program of a build script missing",
        ),
        pytest.param(
            Case(
                "node",
                "node build.js",
                {"build.js": "require('esbuild')"},
                Reason.DEPENDENCY_FAILED,
                "Cannot find module 'esbuild'",
                "esbuild is used and not among the dependencies",
            ),
            id="dependency missing, node",
        ),
        pytest.param(
            Case(
                "python",
                "python3 setup.py --version",
                {"setup.py": "import absent_package\n"},
                Reason.DEPENDENCY_FAILED,
                "No module named 'absent_package'",
                "absent_package is used",
            ),
            id="dependency missing, python",
        ),
        pytest.param(
            Case(
                "python",
                "python3 setup.py build_ext",
                {"setup.py": SETUP, "x.c": "int x;\n"},
                Reason.SYSTEM_PACKAGE_MISSING,
                "gcc",
                "build-essential",
            ),
            id="compiler missing",
        ),
        pytest.param(
            Case("debian", "pg_config --version", {}, Reason.SYSTEM_PACKAGE_MISSING, "pg_config", "(libpq-dev)"),
            id="system library missing",
        ),
        pytest.param(
            Case(
                "node",
                "npm run build",
                {"package.json": package(scripts={"build": "node --check a.js"}), "a.js": "function {\n"},
                Reason.COMPILE_FAILED,
                "SyntaxError",
                "fresh clone",
            ),
            id="syntax error, node",
        ),
        pytest.param(
            Case(
                "python",
                "python3 -m py_compile a.py",
                {"a.py": "def broken(:\n"},
                Reason.COMPILE_FAILED,
                "SyntaxError",
                "fresh clone",
            ),
            id="syntax error, python",
        ),
        pytest.param(
            Case(
                "node",
                "npm install --offline --engine-strict",
                {"package.json": package(engines={"node": ">=99"})},
                Reason.RUNTIME_VERSION,
                "Unsupported engine",
                "engines.node",
            ),
            id="engine mismatch, node",
        ),
        pytest.param(
            Case(
                "python",
                "pip install --no-build-isolation --no-deps .",
                {"pyproject.toml": '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.99"\n'},
                Reason.RUNTIME_VERSION,
                "requires a different Python",
                "requires-python",
            ),
            id="engine mismatch, python",
        ),
        pytest.param(
            Case(
                "node",
                "npm install --fetch-retries=0 --registry=http://127.0.0.1:9/ left-pad",
                {},
                Reason.NETWORK_FAILED,
                "ECONNREFUSED",
                "package registries",
            ),
            id="network, node",
        ),
        pytest.param(
            Case(
                "python",
                "pip install --retries=1 --index-url=https://registry.invalid/ left-pad",
                {},
                Reason.NETWORK_FAILED,
                "Retrying",
                "package registries",
            ),
            id="network, python",
        ),
        pytest.param(
            Case("debian", "cp /etc/passwd /dev/full", {}, Reason.DISK_FULL, "No space left", "docker system df"),
            id="disk full",
        ),
        pytest.param(
            Case("python", f"python3 -c 'bytearray({8 * MEMORY})'", {}, Reason.OUT_OF_MEMORY, "", "memory"),
            id="memory",
        ),
        pytest.param(
            Case(
                "node",
                "npm install --fetch-retries=0 left-pad@99.99.99",
                {},
                Reason.DEPENDENCY_FAILED,
                "99.99.99",
                "correct their versions",
            ),
            id="version that does not exist",
        ),
    ],
)
def test_a_build_that_fails_names_its_step_quotes_the_line_and_says_what_to_do(
    docker_builds: Docker, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    if case.reason == Reason.OUT_OF_MEMORY:
        monkeypatch.setattr(transfers, "BUILD_MEMORY", MEMORY)

    error = docker_builds.fail(case.base, case.script, case.files)

    assert (error.reason, error.step) == (case.reason, Step.BUILD)
    assert error.message.startswith('step 5/5 : RUN ["sh", "-e", "script.sh"] failed: ')
    assert case.said in error.message
    assert case.hint in error.hint
    assert error.message.rpartition("failed: ")[2] in error.log_tail


def test_a_certificate_that_is_not_trusted_is_said(docker_builds: Docker, tmp_path: Path) -> None:
    # A server of the build's own: nothing outside is needed.
    authority = Authority(tmp_path)
    authority.create()
    authority.server("server", "/CN=localhost", ["DNS:localhost"])
    pair = (tmp_path / "server.key").read_text() + (tmp_path / "server.crt").read_text()
    error = docker_builds.fail("python", "python3 serve.py", {"serve.py": TLS, "pair.pem": pair})

    assert error.reason == Reason.CERTIFICATE_UNTRUSTED
    assert "CERTIFICATE_VERIFY_FAILED" in error.message
    assert "TOOLMAN_BUILD_CA_FILE" in error.hint


@pytest.mark.parametrize(
    ("texts", "reason", "said"),
    [
        ({"Dockerfile": "FROM {debian}\nRUN --mount=type=cache,target=/x true\n"}, Reason.UNSUPPORTED, "BuildKit"),
        ({"Dockerfile": "FROM {debian}\nFOO bar\n"}, Reason.UNSUPPORTED, "FOO"),
        ({"Dockerfile": "FROM {debian}\nCOPY absent /\n"}, Reason.COMPILE_FAILED, "absent"),
    ],
)
def test_a_dockerfile_that_cannot_be_built_is_said(
    docker_builds: Docker, texts: dict[str, str], reason: Reason, said: str
) -> None:
    with pytest.raises(BuildFailedError) as caught:
        docker_builds.raw({name: text.format(**docker_builds.bases) for name, text in texts.items()})
    error = diagnosis.failed(docker_builds.log, str(caught.value))

    assert error.reason == reason
    assert said in error.message


@pytest.mark.parametrize(
    ("base", "script", "files"),
    [
        pytest.param(
            "node", "npm ci --offline", {"package.json": package(), "package-lock.json": lock()}, id="lock updated"
        ),
        pytest.param(
            "node",
            "npm install --no-audit && npm run build",
            {
                "package.json": package(scripts={"build": "semver 1.2.3"}, devDependencies={"semver": "7.6.3"}),
            },
            id="program in devDependencies",
        ),
        pytest.param(
            "debian",
            "apt-get update -q\napt-get install -yq --no-install-recommends libpq-dev >/dev/null\npg_config --version",
            {},
            id="system package of the hint",
        ),
        pytest.param(
            "node",
            "npm install --offline --engine-strict",
            {"package.json": package(engines={"node": ">=18"})},
            id="engines that fit",
        ),
    ],
)
def test_what_is_suggested_helps(docker_builds: Docker, base: str, script: str, files: dict[str, str]) -> None:
    assert docker_builds.build(base, script, files).startswith("sha256:")


@pytest.mark.requirement("B-13")
def test_a_build_that_never_stops_printing_is_stopped_and_its_container_removed(docker_builds: Docker) -> None:
    with pytest.raises(BuildError) as caught:
        docker_builds.build("debian", "yes 'a line of a build that never stops printing, a gigabyte and more of it'")

    assert caught.value.reason == Reason.BUILD_LIMIT
    assert "more than 32 MiB" in caught.value.message
    assert len(caught.value.log_tail) < 4096


@pytest.mark.requirement("B-13")
@pytest.mark.requirement("B-11")
def test_secrets_that_a_build_prints_reach_nobody(docker_builds: Docker) -> None:
    script = (
        "echo NPM_TOKEN=s3cr3tvalue https://me:s3cr3tvalue@example.com; echo 'authorization: Bearer s3cr3tvalue' >&2\n"
        'echo \'{"password": "s3cr3tvalue"}\'; exit 1\n'
    )

    error = docker_builds.fail("debian", script)

    assert "s3cr3tvalue" not in f"{error.message} {error.log_tail} {docker_builds.lines}"
    assert error.log_tail.count("***") == 4


@pytest.mark.requirement("B-13")
def test_a_cancelled_build_ends_at_once_and_leaves_no_container(docker_builds: Docker) -> None:
    threading.Timer(3, docker_builds.cancelled.set).start()

    with pytest.raises(BuildCancelled):
        docker_builds.build("debian", "sleep 600")


@pytest.fixture
def parent_cgroup() -> Iterator[str]:
    """Give a control group that allows few processes, as an engine of its own for builds would have for a parent."""
    hierarchy = Path("/sys/fs/cgroup")
    if (hierarchy / "pids").is_dir():
        hierarchy /= "pids"
    group = hierarchy / f"builds-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    (group / "pids.max").write_text("60")
    yield f"/{group.name}"
    group.rmdir()


@pytest.mark.requirement("B-13")
def test_under_a_parent_control_group_a_fork_bomb_in_a_build_ends_at_the_groups_bound(
    docker_builds: Docker, parent_cgroup: str, tmp_path: Path
) -> None:
    script = "import os, time\nfor number in range(500):\n    os.fork() or (time.sleep(60), os._exit(0))\n"
    dockerfile = f"FROM {docker_builds.bases['python']}\nLABEL {names.LABEL_UID}={docker_builds.uid}\nCOPY . .\n"
    (tmp_path / "bomb.py").write_text(script)
    (tmp_path / "Dockerfile").write_text(f"{dockerfile}RUN python3 bomb.py\n")

    built = commands.attempt("docker", "build", "--force-rm", "--cgroup-parent", parent_cgroup, str(tmp_path))

    said = built.stdout + built.stderr
    assert "Resource temporarily unavailable" in said
    assert diagnosis.build(said).reason == Reason.BUILD_LIMIT
