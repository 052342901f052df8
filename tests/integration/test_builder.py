"""The builder on a real engine and registry, with projects that nobody here wrote and some that mean harm."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
import threading
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
from mcp_operator import names
from mcp_operator.builder import ImageBuilder
from mcp_operator.images import cleanup, pipeline
from mcp_operator.images.contract import BuildCancelled, BuildError, BuildRequest, BuildResult, GitSource, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.settings import Settings
from sources import repositories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lab.environment import Environment
    from sources.server import GitServer

pytestmark = [pytest.mark.integration, pytest.mark.requirement("F-05")]

INSTALLATION = "builder-tests"
PUBLISHED = repositories.PUBLISHED
LOOKS_LIKE_ONE = "// 'tools/list' 'initialize' serverInfo stdin\n"
"""What makes a file of a server that speaks the protocol by itself."""
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class Heard:
    """Progress that keeps what it hears, and can react to it."""

    steps: list[tuple[Step, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    react: Callable[[Step, str], None] = lambda _step, _detail: None

    def step(self, step: Step, detail: str) -> None:
        self.steps.append((step, detail))
        self.react(step, detail)

    def log(self, line: str) -> None:
        self.lines.append(line)


@dataclass
class Builder:
    """Builds for one owner of this test's own."""

    settings: Settings
    engine: docker.DockerClient
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    heard: Heard = field(default_factory=Heard)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def request(self, url: str, path: str = ".", **more: object) -> BuildRequest:
        request = BuildRequest(
            source=GitSource(url=url, path=path),
            repository=f"{self.settings.registry}/builder-tests/{self.uid[:8]}",
            deployment_id=f"tests-server-{self.uid[:8]}",
            uid=self.uid,
            installation=INSTALLATION,
        )
        return dataclasses.replace(request, **more)  # type: ignore[arg-type]  # each test names real fields

    def build(self, url: str, path: str = ".", **more: object) -> BuildResult:
        return pipeline.build(self.request(url, path, **more), self.settings, self.heard, self.cancelled)

    def fail(self, url: str, path: str = ".", **more: object) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.build(url, path, **more)
        assert caught.value.hint
        self.assert_nothing_left()
        return caught.value

    def images(self) -> list[str]:
        found = self.engine.images.list(all=True, filters={"label": f"{names.LABEL_UID}={self.uid}"})
        return [str(image.id) for image in found]

    def assert_nothing_left(self) -> None:
        label: dict[str, str | list[str] | bool] = {"label": f"{names.LABEL_UID}={self.uid}"}
        assert self.engine.containers.list(all=True, filters=label) == []
        assert self.images() == []
        assert list(Path(tempfile.gettempdir()).glob(f"{cleanup.folder_prefix(self.uid, INSTALLATION)}*")) == []


@pytest.fixture
def builder(lab: Environment, engine: docker.DockerClient) -> Iterator[Builder]:
    """Give a builder; all that it made is gone afterwards."""
    settings = Settings(
        registry=lab.registry,
        image_toolman="toolman",
        image_wrapper="wrapper",
        base_python=lab.base_python,
        base_node=lab.base_node,
        git_protocols=("http", "https"),
        build_ca_file=lab.ca_file,
    )
    made = Builder(settings, engine)
    yield made
    cleanup.forget(made.uid)
    made.assert_nothing_left()


def server(git_server: GitServer, name: str, files: Mapping[str, str]) -> str:
    """Make a repository and give its URL."""
    content = {path: (text.startswith("#!"), text.encode()) for path, text in files.items()}
    repositories.create(git_server.root / f"{name}.git", content)
    return git_server.url(f"{name}.git")


def registry_has(reference: str, registry: str) -> bool:
    repository, _, digest = reference.removeprefix(f"{registry}/").partition("@")
    url = f"http://{registry}/v2/{repository}/manifests/{digest}"
    request = urllib.request.Request(url, headers={"Accept": MANIFEST_TYPE})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        return bool(answer.headers["Docker-Content-Digest"] == digest)


def shell(builder: Builder, image: str, script: str) -> str:
    run = builder.engine.containers.run
    return str(run(image, ["-c", script], entrypoint="sh", remove=True, network_mode="none").decode()).strip()


@pytest.mark.parametrize(
    ("path", "args", "tools"),
    [
        ("src/git", (), {"git_status", "git_log"}),
        ("src/time", (), {"get_current_time", "convert_time"}),
        ("src/filesystem", ("/tmp",), {"read_text_file", "list_directory"}),  # noqa: S108 - inside a container
    ],
)
def test_published_servers_become_verified_images_by_digest(
    builder: Builder, published_server: GitServer, path: str, args: tuple[str, ...], tools: set[str]
) -> None:
    result = builder.build(published_server.url(PUBLISHED), path, args=args)

    assert tools <= {tool.name for tool in result.tools}
    assert result.commit == repositories.head(published_server.root / PUBLISHED)
    assert registry_has(result.reference, builder.settings.registry)
    assert result.protocol_version == "2025-11-25"
    assert "it did not start without network" not in result.evidence
    assert not any(line.startswith("cp: ") for line in builder.heard.lines)  # a layer of what is new, not of all
    again = builder.build(published_server.url(PUBLISHED), path, args=args)
    assert (again.image_id, again.reference) == (result.image_id, result.reference)
    assert again.tools == result.tools


@pytest.mark.requirement("F-08")
def test_a_typescript_server_is_built_small_and_hardened(builder: Builder, git_server: GitServer) -> None:
    result = builder.build(git_server.url("weather.git"))

    config = builder.engine.images.get(result.image_id).attrs["Config"]
    assert config["User"] == "1001:1001"
    assert config["Entrypoint"] == list(result.command) == ["node", "/app/dist/index.js"]
    assert config["WorkingDir"] == result.working_dir == "/app"
    assert config["Labels"]["org.opencontainers.image.revision"] == result.commit
    assert config["Labels"][names.LABEL_DEPLOYMENT].startswith("tests-server-")
    assert "NODE_ENV=production" in config["Env"]
    assert not any("build-ca" in variable for variable in config["Env"])
    script = "id -un; ls -d node_modules/typescript /opt/build-ca .git 2>/dev/null; touch /app/x 2>/dev/null || echo ro"
    assert shell(builder, result.image_id, script).split() == ["mcp", "ro"]
    counters = [detail.split()[1] for step, detail in builder.heard.steps if detail.startswith("step ")]
    total = counters[0].partition("/")[2]
    assert counters == [f"{number + 1}/{total}" for number in range(int(total))]
    assert [step for step in Step if step in {step for step, _ in builder.heard.steps}] == list(Step)


def test_a_changed_source_replaces_the_engines_copy_of_the_last_image(builder: Builder, git_server: GitServer) -> None:
    url = git_server.url("weather.git")
    first = builder.build(url)
    repositories.commit(git_server.root / "weather.git", {"README.md": "changed\n"}, "Change")

    second = builder.build(url)

    assert second.image_id != first.image_id
    assert first.image_id not in builder.images()
    assert registry_has(first.reference, builder.settings.registry)
    assert registry_has(second.reference, builder.settings.registry)


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("repository", "step", "reason", "said"),
    [
        ("broken-build.git", Step.BUILD, Reason.COMPILE_FAILED, "error TS2322"),
        ("not-a-server.git", Step.DETECT, Reason.NOT_AN_MCP_SERVER, "pyproject.toml"),
        ("absent.git", Step.FETCH, Reason.REPOSITORY_NOT_FOUND, "not found"),
    ],
)
def test_a_failure_names_step_reason_and_last_lines_and_leaves_nothing(
    builder: Builder, git_server: GitServer, repository: str, *, step: Step, reason: Reason, said: str
) -> None:
    error = builder.fail(git_server.url(repository))

    assert (error.step, error.reason) == (step, reason)
    assert said in error.log_tail


@pytest.mark.requirement("B-12")
def test_a_build_that_fails_for_want_of_a_submodule_says_that_those_are_left_out(
    builder: Builder, git_server: GitServer
) -> None:
    error = builder.fail(with_submodule(git_server))

    assert error.step == Step.BUILD
    assert "Of the source: left out: git submodules (vendor); spec.source.git.recurseSub" in error.hint


@pytest.mark.requirement("B-01")
def test_a_submodule_that_is_asked_for_is_built_with_its_repository(builder: Builder, git_server: GitServer) -> None:
    source = GitSource(url=with_submodule(git_server), recurse_submodules=True)
    result = builder.build(source.url, source=source)

    assert [tool.name for tool in result.tools] == ["look"]
    assert result.warnings == ()


def with_submodule(git_server: GitServer) -> str:
    """Make a server whose code is in a submodule; give its URL."""
    name = f"with-submodule-{uuid.uuid4().hex[:8]}"
    server(git_server, f"{name}-vendor", {"x.js": WRITES % ""})
    package = {"scripts": {"build": "mkdir -p dist && cp vendor/x.js dist/"}, "main": "dist/x.js"}
    package |= {"dependencies": {}, "devDependencies": {}, "name": "x", "version": "1.0.0"}
    url = server(git_server, name, {"package.json": json.dumps(package), "src/a.js": WRITES % ""})
    vendored = repositories.head(git_server.root / f"{name}-vendor.git")
    repositories.link(git_server.root / f"{name}.git", {"vendor": (f"../{name}-vendor.git", vendored)})
    return url


@pytest.mark.requirement("B-15")
def test_a_setting_that_a_server_does_not_start_without_is_recorded_as_a_need(
    builder: Builder, git_server: GitServer
) -> None:
    result = builder.build(git_server.url("needs-setting.git"))

    assert result.tools
    assert result.needs.env == ("NOTES_API_KEY",)
    assert any("NOTES_API_KEY" in warning for warning in result.warnings)


WRITES = """
// 'tools/list'
const fs = require('fs');
%s
const results = {
  'initialize': { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } },
  'tools/list': { tools: [{ name: 'look', inputSchema: { type: 'object' } }] },
};
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method } = JSON.parse(line);
  if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, result: results[method] }));
});
"""
"""A server by hand, with something that it does first."""


@pytest.mark.requirement("B-15")
@pytest.mark.parametrize(
    ("name", "code", "folder", "links"),
    [
        ("here", "fs.appendFileSync('x.log', 'x');", names.SERVER_HOME, []),
        (
            "beside",
            "fs.mkdirSync('/app/data/logs', { recursive: true }); fs.appendFileSync('/app/s', 'x');",
            "/app",
            ["/app/data/logs", "/app/s"],
        ),
        (
            "silent",
            "try { fs.existsSync('/app/logs') || fs.mkdirSync('/app/logs'); } catch { process.exit(1); }",
            "/app",
            ["/app/logs"],
        ),
    ],
)
def test_a_server_that_writes_to_where_it_starts_or_beside_its_files_works_on_a_read_only_root(
    builder: Builder, git_server: GitServer, name: str, code: str, folder: str, links: list[str]
) -> None:
    package = {"package.json": '{"name": "x", "main": "a.js"}', "a.js": WRITES % code}

    result = builder.build(server(git_server, f"writes-{name}", package))

    assert [tool.name for tool in result.tools] == ["look"]
    assert result.working_dir == folder
    assert builder.engine.images.get(result.image_id).attrs["Config"]["WorkingDir"] == folder
    assert any(all(each in warning for each in links or [folder]) for warning in result.warnings)
    for link in links:
        assert shell(builder, result.image_id, f"readlink {link}").startswith(names.SERVER_HOME)
    assert shell(builder, result.image_id, "id -u") == str(names.IMAGE_UID)


@pytest.mark.requirement("B-12")
def test_a_program_that_a_server_starts_with_and_is_not_there_is_added(builder: Builder, git_server: GitServer) -> None:
    code = "require('child_process').execFileSync('jq', ['--version']);"
    package = {"package.json": '{"name": "x", "main": "a.js"}', "a.js": WRITES % code}

    result = builder.build(server(git_server, "wants-jq", package))

    assert [tool.name for tool in result.tools] == ["look"]
    assert any(warning.startswith("added, as it was missing: jq;") for warning in result.warnings)
    assert shell(builder, result.image_id, "jq --version").startswith("jq-")


@pytest.mark.requirement("B-12")
def test_what_a_server_needs_and_names_for_development_only_stays_in_its_image(
    builder: Builder, git_server: GitServer
) -> None:
    package = {"name": "x", "main": "dist/a.js", "scripts": {"build": "mkdir -p dist && cp src/a.js dist/"}}
    package |= {"devDependencies": {"semver": "7.6.3"}}
    files = {"package.json": json.dumps(package), "src/a.js": WRITES % "require('semver');"}

    result = builder.build(server(git_server, "for-development", files))

    assert [tool.name for tool in result.tools] == ["look"]
    assert any("it needs semver, which it names for development" in warning for warning in result.warnings)


@pytest.mark.requirement("B-12")
def test_a_check_that_fails_before_the_build_script_is_left_out_and_said(
    builder: Builder, git_server: GitServer
) -> None:
    scripts = {"prebuild": "echo a.js: error TS2345: no; exit 1", "build": "mkdir -p dist && cp src/a.js dist/"}
    package = {"name": "x", "main": "dist/a.js", "scripts": scripts}
    files = {"package.json": json.dumps(package), "src/a.js": WRITES % ""}

    result = builder.build(server(git_server, "unchecked", files))

    assert [tool.name for tool in result.tools] == ["look"]
    assert any("What comes before the script build fails" in warning for warning in result.warnings)


@pytest.mark.requirement("B-15")
def test_a_file_that_a_server_brings_along_and_may_not_change_is_not_replaced_by_a_link(
    builder: Builder, git_server: GitServer
) -> None:
    code = WRITES % "fs.appendFileSync(`${__dirname}/own.json`, 'x');"
    files = {"package.json": '{"name": "x", "main": "a.js"}', "a.js": code, "own.json": "{}"}

    error = builder.fail(server(git_server, "changes-own", files))

    assert "It writes /app/own.json" in error.hint


LACKING = """
import json
import pathlib
import sys

INFO = {"name": "x", "version": "1"}
ANSWERS = {
    "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": INFO},
    "tools/list": {"tools": [{"name": (pathlib.Path(__file__).parent / "words.txt").read_text().strip()}]},
}


def main():
    for line in sys.stdin:
        call = json.loads(line)
        if "id" in call:
            print(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": ANSWERS[call["method"]]}), flush=True)
"""
"""A server by hand, which reads a file of its repository when it is imported."""
WHEEL = """
[project]
name = "x"
version = "1"
[project.scripts]
x = "x:main"
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
packages = ["x"]
include-package-data = false
"""


@pytest.mark.requirement("B-15")
def test_a_project_whose_wheel_lacks_files_that_it_reads_is_started_from_its_sources(
    builder: Builder, git_server: GitServer
) -> None:
    files = {"pyproject.toml": WHEEL, "src/x/__init__.py": LACKING, "src/x/words.txt": "speak\n"}
    files["pyproject.toml"] += 'package-dir = {"" = "src"}\n'

    result = builder.build(server(git_server, "lacks-files", files))

    assert [tool.name for tool in result.tools] == ["speak"]
    assert [line for line in result.warnings if "started from its sources" in line and "words.txt" in line]
    assert shell(builder, result.image_id, "cat /app/src/x/words.txt") == "speak"


@pytest.mark.requirement("F-08")
def test_a_registry_that_is_not_there_is_said_and_nothing_is_kept(builder: Builder, git_server: GitServer) -> None:
    error = builder.fail(git_server.url("weather.git"), repository="127.0.0.1:1/x/weather")

    assert (error.step, error.reason, error.transient) == (Step.PUSH, Reason.REGISTRY_UNREACHABLE, True)


@pytest.mark.requirement("F-08")
def test_a_base_image_that_is_not_there_names_the_setting(builder: Builder, git_server: GitServer) -> None:
    builder.settings = dataclasses.replace(builder.settings, base_node="127.0.0.1:1/none/node:1")

    error = builder.fail(git_server.url("weather.git"))

    assert error.reason == Reason.BASE_IMAGE_UNAVAILABLE
    assert "TOOLMAN_BASE_NODE" in error.hint


@pytest.mark.requirement("F-08")
def test_an_engine_that_is_not_there_is_said(
    builder: Builder, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = builder.request(git_server.url("weather.git"))
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
        with pytest.raises(BuildError, match="Docker is not running") as caught:
            pipeline.build(request, builder.settings, builder.heard, builder.cancelled)

    assert caught.value.hint == "Start it or set DOCKER_HOST."


@pytest.mark.requirement("B-02", "B-04", "B-23")
def test_a_version_that_was_unpublished_is_chosen_anew_in_a_dockerfile_that_says_so(
    builder: Builder, git_server: GitServer
) -> None:
    gone = {
        "version": "1.2.99",
        "resolved": "https://registry.npmjs.org/left-pad/-/left-pad-1.2.99.tgz",
        "integrity": "sha512-" + "A" * 86 + "==",
    }
    needed = {"dependencies": {"left-pad": "^1.1.0"}}
    lock = {"lockfileVersion": 3, "packages": {"": {"name": "padded", **needed}, "node_modules/left-pad": gone}}
    files = {
        "package.json": json.dumps({"name": "padded", "main": "a.js", **needed}),
        "package-lock.json": json.dumps({"name": "padded", **lock}),
        "a.js": LOOKS_LIKE_ONE + WRITES % "require('left-pad');",
    }

    result = builder.build(server(git_server, "unpublished", files))

    assert [tool.name for tool in result.tools] == ["look"]
    (warning,) = (text for text in result.warnings if "otherwise" in text)
    assert "npm ci" in warning
    assert warning.endswith("left-pad in the lock is gone: another version of it.")
    done = [detail for _, detail in builder.heard.steps if "RUN npm" in detail]
    assert [detail.partition(" : ")[2] for detail in done] == [
        "RUN npm ci --ignore-scripts --omit=dev",
        "RUN npm update --package-lock-only --ignore-scripts left-pad",
        "RUN npm ci --ignore-scripts --omit=dev",
    ]


SLOW = {
    "package.json": json.dumps(
        {
            "name": "slow",
            "bin": "dist/a.js",
            "scripts": {"build": "sleep 600"},
            "dependencies": {},
            "devDependencies": {"fastmcp": "*"},
        },
    ),
    "package-lock.json": json.dumps({"name": "slow", "lockfileVersion": 3, "packages": {"": {"name": "slow"}}}),
    "a.ts": "// 'tools/list' 'initialize' serverInfo stdin",
}


def slow(git_server: GitServer) -> str:
    manifest = json.loads(SLOW["package.json"])
    del manifest["devDependencies"]
    return server(git_server, "slow", {**SLOW, "package.json": json.dumps(manifest)})


@pytest.mark.requirement("F-08")
def test_a_build_is_cancelled_in_mid_step_and_nothing_is_left(builder: Builder, git_server: GitServer) -> None:
    def react(_step: Step, detail: str) -> None:
        if "npm" in detail and "run" in detail:
            builder.cancelled.set()

    builder.heard.react = react

    with pytest.raises(BuildCancelled):
        builder.build(slow(git_server))

    builder.assert_nothing_left()


@pytest.mark.requirement("F-08")
def test_a_build_that_takes_too_long_is_ended_and_nothing_is_left(builder: Builder, git_server: GitServer) -> None:
    error = builder.fail(slow(git_server), timeout=15)

    assert (error.step, error.reason) == (Step.BUILD, Reason.TIMED_OUT)


@pytest.mark.requirement("F-08")
def test_a_server_that_never_answers_is_cancelled_and_its_container_removed(
    builder: Builder, git_server: GitServer
) -> None:
    def react(step: Step, _detail: str) -> None:
        if step is Step.VERIFY:
            threading.Timer(2, builder.cancelled.set).start()

    builder.heard.react = react
    code = "// 'tools/list' 'initialize' serverInfo stdin\nsetInterval(() => {}, 1000)\n"
    url = server(git_server, "silent", {"package.json": '{"name": "silent", "main": "a.js"}', "a.js": code})

    with pytest.raises(BuildCancelled):
        builder.build(url)

    builder.assert_nothing_left()


def test_a_server_sees_no_network_no_capability_and_a_read_only_root_while_it_is_verified(
    builder: Builder, git_server: GitServer
) -> None:
    code = """
// 'tools/list' 'initialize' serverInfo stdin
const fs = require('fs'), os = require('os');
const status = fs.readFileSync('/proc/self/status', 'utf8');
const field = (name) => status.match(new RegExp(name + ':\\\\s*(\\\\S+)'))[1];
let root = 'writable';
try { fs.writeFileSync('/app/x', ''); } catch (error) { root = error.code; }
fs.writeFileSync('/tmp/x', '');
const nets = Object.keys(os.networkInterfaces()).join();
console.error('seen', process.getuid(), process.env.HOME, field('CapEff'), field('NoNewPrivs'), root, nets);
process.exit(3);
"""
    url = server(git_server, "nosy", {"package.json": '{"name": "nosy", "main": "a.js"}', "a.js": code})

    builder.fail(url)

    seen = [line for line in builder.heard.lines if line.startswith("seen")]
    assert seen[0] == f"seen {names.SERVER_UID_FIRST} /tmp 0000000000000000 1 EROFS lo"
    assert seen[-1].endswith("lo,eth0")  # only after it had failed without


@pytest.mark.requirement("F-05")
def test_a_repository_that_means_harm_gets_nowhere(builder: Builder, git_server: GitServer) -> None:
    manifest = {
        "name": 'x"]\nUSER 0\nRUN touch /pwned #',
        "version": "$(touch /pwned)",
        "main": "a.js",
        "scripts": {"postinstall": "echo MY_TOKEN=s3cretvalue https://me:s3cretvalue@example.com; touch /app/pwned"},
    }
    code = f"{LOOKS_LIKE_ONE}process.stdout.write('x'.repeat(1e8)); setInterval(() => {{}}, 1000)\n"
    files = {
        "package.json": json.dumps(manifest),
        "a.js": code,
        "Dockerfile.mcp": "FROM evil\n",
        ".dockerignore": "*\n",
        '$(id) `id` " \\ *.txt': "x",
    }
    url = server(git_server, "hostile", files)

    error = builder.fail(url)

    assert (error.step, error.reason) == (Step.VERIFY, Reason.HANDSHAKE_FAILED)
    assert "a line of more than" in error.message
    assert not any("s3cretvalue" in line for line in builder.heard.lines)


def test_the_projects_own_install_scripts_do_not_run(builder: Builder, git_server: GitServer) -> None:
    manifest = {"name": "x", "main": "a.js", "scripts": {"postinstall": "exit 7", "prepare": "exit 7"}}
    url = server(
        git_server,
        "scripts",
        {"package.json": json.dumps(manifest), "a.js": "// 'tools/list' 'initialize' serverInfo stdin"},
    )

    error = builder.fail(url)

    assert error.step == Step.VERIFY
    assert "status 0" in error.message


def test_a_sweep_removes_what_belongs_to_owners_that_are_gone_and_nothing_else(
    builder: Builder, git_server: GitServer
) -> None:
    installation = f"sweep-{builder.uid}"
    result = builder.build(git_server.url("weather.git"), installation=installation)
    folder = Path(tempfile.mkdtemp(prefix=cleanup.folder_prefix(builder.uid, installation)))

    cleanup.sweep({builder.uid}, installation)
    assert result.image_id in builder.images()
    assert folder.exists()

    cleanup.sweep(set(), "another installation")
    assert result.image_id in builder.images()

    cleanup.sweep(set(), installation)
    assert builder.images() == []


@pytest.mark.requirement("B-13")
@pytest.mark.parametrize(("began", "goes"), [(-10, True), (1000, False)])
def test_an_operator_that_was_killed_leaves_nothing_after_its_next_start_but_the_layers_of_what_went_well(
    builder: Builder, *, began: int, goes: bool
) -> None:
    """``began`` is when the killed build did, in seconds after the nameless image was made."""
    settings = dataclasses.replace(builder.settings, installation=f"killed-{builder.uid}")
    labels = {
        names.LABEL_UID: builder.uid,
        names.LABEL_INSTALLATION: settings.installation,
        names.MANAGED_BY: names.MANAGER,
    }
    container = builder.engine.containers.create(settings.base_python, labels=labels)
    changes = [f"LABEL {name}={value}" for name, value in labels.items()]
    nameless = container.commit(changes=changes)
    named = container.commit(f"killed-{builder.uid[:8]}", "1", changes=[*changes, "LABEL more=1"])
    made = int(next(each["Created"] for each in builder.engine.api.images() if each["Id"] == nameless.id))
    prefix = cleanup.folder_prefix(builder.uid, settings.installation)
    tempfile.mkdtemp(prefix=f"{prefix}{made + began}-")
    try:
        ImageBuilder(settings).sweep({builder.uid})

        label = f"{names.LABEL_UID}={builder.uid}"
        assert builder.engine.api.containers(all=True, filters={"label": label}) == []
        assert list(Path(tempfile.gettempdir()).glob(f"{prefix}*")) == []
        assert (nameless.id in builder.images()) is not goes
        assert named.id in builder.images()
    finally:
        builder.engine.images.remove(str(named.id), force=True)


def test_the_base_images_are_known_by_their_ids(builder: Builder) -> None:
    seldom = dataclasses.replace(builder.settings, base_go=builder.settings.base_node, base_debian="is.not/there:1")
    found = pipeline.bases(seldom)

    assert set(found) == {builder.settings.base_node, builder.settings.base_python}
    assert all(image.startswith("sha256:") for image in found.values())
    with contextlib.suppress(docker.errors.NotFound):
        builder.settings = dataclasses.replace(builder.settings, base_node="127.0.0.1:1/none/node:1")
    assert pipeline.bases(builder.settings)["127.0.0.1:1/none/node:1"] == "127.0.0.1:1/none/node:1"
