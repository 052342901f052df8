"""``mcp-operator build`` and ``images`` as a person runs them: a real engine, a real registry, no cluster."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
import pytest
from command_line import SERVER, labelled, never_ending, until_it_builds
from mcp_operator import names
from sources import repositories, ssh

if TYPE_CHECKING:
    import docker
    from command_line import Command
    from sources.server import GitServer

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-23")]


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


@pytest.mark.requirement("B-21")
def test_a_dry_run_and_a_printed_dockerfile_build_nothing(
    command: Command, folder: Path, engine: docker.DockerClient
) -> None:
    where = ("--repository", f"{command.registry}/x/y", "--push", "--tag", "a", "--tag", "mcp-{deploymentId}:latest")
    dry = command.run("build", "--dir", str(folder), "--dry-run", *where)
    planned = command.build("--dir", str(folder), "--dry-run", *where)
    printed = command.run("build", "--dir", str(folder), "--print-dockerfile")

    assert (dry.returncode, printed.returncode) == (0, 0), dry.stderr + printed.stderr
    assert f"would be pushed as  {command.registry}/x/y:a\n" in dry.stdout
    assert f"would push the image to {command.registry} without credentials, over HTTP" in dry.stdout
    assert [each["names"][-1].rpartition("/")[2].partition("-")[0] for each in planned["push"]] == ["y:a", "mcp"]
    assert [name for each in planned["push"] for name in each["names"]] == planned["image"]["tags"]
    assert printed.stdout.startswith(("FROM", "#"))
    assert "COPY source/ /app/" in printed.stdout
    assert not [image for image in labelled(engine, names.LABEL_DEPLOYMENT) if folder.name in str(image["Labels"])]


@pytest.mark.requirement("B-21")
def test_a_dry_run_needs_no_engine_and_pulls_nothing(command: Command, folder: Path) -> None:
    words = ("--dir", str(folder), "--print-dockerfile")
    there = command.build(*words)
    absent = command.build(*words, TOOLMAN_BASE_PYTHON="registry.invalid/python:3.12-slim")
    without = command.build(*words, DOCKER_HOST="tcp://127.0.0.1:1")

    assert there["warnings"] == []
    assert any("registry.invalid/python:3.12-slim would be pulled first" in text for text in absent["warnings"])
    assert "FROM registry.invalid/python:3.12-slim" in absent["dockerfile"]
    assert any("Docker is not running" in text for text in without["warnings"])
    assert len(without["image"]["tags"]) == len(there["image"]["tags"]) - 1


@pytest.mark.parametrize(
    "words",
    [
        ("build",),
        ("build", "--npm", "x", "--push"),
        ("build", "--npm", "x", "--tag", "{what}"),
        ("build", "--npm", "x", "--repository", "R.Test/X"),
        ("build", "--npm", "x", "--what"),
        ("build", "--dir", ".", "--timeout", "never"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_document_only_where_one_is_wanted(
    command: Command, words: tuple[str, ...]
) -> None:
    done = command.run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr

    for output in (("--output", "json"), ("--output=json",)):
        asked = command.run(*words, *output)
        assert asked.returncode == 2
        error = json.loads(asked.stdout)["error"]
        assert (error["step"], bool(error["message"]), bool(error["hint"])) == (None, True, True)
        assert error["reason"] in {"WrongUsage", "InvalidSource"}


def test_wrong_usage_of_another_command_ends_with_2(command: Command) -> None:
    done = command.run("images")

    assert (done.returncode, done.stdout) == (2, "")
    assert "required: kind" in done.stderr


@pytest.mark.requirement("B-13")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_build_leaves_nothing(
    command: Command, folder: Path, engine: docker.DockerClient, number: signal.Signals, code: int
) -> None:
    never_ending(folder)
    with command.start("build", "--dir", str(folder), "--output", "json") as run:
        until_it_builds(run)
        run.send_signal(number)
        run.send_signal(number)  # impatience changes nothing
        out, said = run.communicate(timeout=60)

    assert run.returncode == code
    error = json.loads(out)["error"]
    assert (error["reason"], error["step"]) == ("Cancelled", "Build")
    assert "cancelling" in said
    uid = command_line.owner("--dir", str(folder))
    assert not list(Path(tempfile.gettempdir()).glob(f"toolman-*{uid}*"))
    assert not labelled(engine, f"{names.LABEL_UID}={uid}")
    assert not engine.api.containers(all=True, filters={"label": f"{names.LABEL_UID}={uid}"})


def test_nobody_who_reads_ends_nothing(command: Command, folder: Path) -> None:
    with command.start("build", "--dir", str(folder), "--print-dockerfile") as run:
        assert run.stdout is not None
        run.stdout.close()
        assert run.stderr is not None
        said = run.stderr.read()
        assert run.wait(60) == 141
    assert "Traceback" not in said
    assert "Exception" not in said

    with command.start("build", "--dir", str(folder), "--output", "json") as run:
        assert run.stderr is not None
        run.stderr.readline()
        run.stderr.close()
        assert run.stdout is not None
        out = run.stdout.read()
        assert run.wait(120) == 0
    assert json.loads(out)["manifest"]["tools"]


@pytest.mark.requirement("B-24")
def test_a_scan_that_was_asked_for_is_in_the_result_and_one_that_cannot_run_says_so(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    hadolint = str(Path(sys.executable).parent / "hadolint")
    (tmp_path / "bin").mkdir()
    for program in ("git", "sh"):
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))
    (tmp_path / "bin" / "hadolint").symlink_to(hadolint)
    asked = ("--scan", "dockerfile", "--sbom", str(tmp_path / "bom.json"))

    done = command.run("build", "--dir", str(folder), *asked, "--output", "json", PATH=str(tmp_path / "bin"))

    scans = {scan["kind"]: scan for scan in json.loads(done.stdout)["scans"]}
    assert (scans["dockerfile"]["ran"], scans["dockerfile"]["findings"]) == (True, [])
    assert scans["sbom"]["ran"] is False
    assert done.returncode == 1
    assert scans["sbom"]["note"] in done.stderr
    assert not (tmp_path / "bom.json").exists()
