"""Dockerfiles of a repository's own that reach for what is not theirs, on a real engine."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
from mcp_operator import names
from mcp_operator.images.contract import BuildError, GitCredentials, GitSource, RegistryAuth, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.settings import Settings
from sources import repositories
from tenant import SERVER, START, Tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import docker
    from lab.environment import Environment
    from sources.server import GitServer

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-13")]

SECRET = "what-only-the-victim-knows"
NODE_SERVER = """\
// 'tools/list' 'initialize' serverInfo stdin
const hello = {protocolVersion: '2025-06-18', capabilities: {tools: {}}, serverInfo: {name: 'plain'}}
require('readline').createInterface({input: process.stdin}).on('line', (line) => {
  const asked = JSON.parse(line)
  if (!('id' in asked)) return
  const result = asked.method === 'initialize' ? hello : {tools: [{name: 'look'}]}
  console.log(JSON.stringify({jsonrpc: '2.0', id: asked.id, result}))
})
"""


@pytest.fixture
def settings(lab: Environment) -> Settings:
    return Settings(
        registry=lab.registry,
        image_toolman="toolman",
        image_wrapper="wrapper",
        base_python=lab.base_python,
        base_node=lab.base_node,
        git_protocols=("http",),
    )


@pytest.fixture
def tenant(settings: Settings, engine: docker.DockerClient, tmp_path: Path) -> Iterator[Callable[[str], Tenant]]:
    """Give tenants by name; all that they made is gone afterwards."""
    made: list[Tenant] = []

    def of(name: str) -> Tenant:
        folder = tmp_path / name
        folder.mkdir()
        made.append(Tenant(settings, engine, folder))
        return made[-1]

    yield of
    for one in made:
        one.leave()


@pytest.fixture
def plain(lab: Environment) -> str:
    """Give a Dockerfile without its start."""
    return f"FROM {lab.base_python}\nCOPY server.py /server.py\n"


def test_another_tenants_image_is_used_neither_by_name_nor_by_a_part_of_its_id(
    tenant: Callable[[str], Tenant], plain: str
) -> None:
    victim, thief = tenant("victim"), tenant("thief")
    theirs = victim.build(f"{plain}RUN echo {SECRET} > /secret\n{START}")
    name = theirs.tags[0]
    digits = theirs.image_id.removeprefix("sha256:")[:12]
    look = "RUN cat /secret\n"

    for start in (
        f"FROM {name}\n{look}",
        f"ARG X={name}\nFROM ${{X}}\n{look}",
        f"{plain}COPY --from={name} / /\n{look}",
    ):
        error = thief.fail(f"{start}{START}")
        assert error.reason == Reason.SOURCE_UNSAFE
        assert "built for another server" in error.message
    assert thief.fail(f"FROM {digits}\n{look}{START}").reason == Reason.BASE_IMAGE_UNAVAILABLE
    assert SECRET not in thief.said
    assert victim.build(f"FROM {name}\nRUN cat /secret\n{START}").tools


def test_forged_labels_are_not_believed_and_do_not_stay(tenant: Callable[[str], Tenant], plain: str) -> None:
    forged = {"command": ["evil"], "tools": [{"name": "trusted", "hash": "sha256:0"}]}
    labels = {
        names.LABEL_RESULT: json.dumps(forged),
        names.LABEL_KEY: "0" * 64,
        names.LABEL_UID: "somebody-else",
        names.LABEL_TOOLS: '["trusted"]',
        names.LABEL_INSTALLATION: "another",
    }
    text = "".join(f"LABEL {name}={json.dumps(value)}\n" for name, value in labels.items())
    one = tenant("one")

    result = one.build(f"FROM scratch AS early\n{text}COPY server.py /x\n{plain}{text}COPY --from=early /x /x\n{START}")

    found = one.engine.images.get(result.image_id).attrs["Config"]["Labels"]
    assert [tool.name for tool in result.tools] == ["look"]
    assert json.loads(found[names.LABEL_TOOLS]) == ["look"]
    assert not any(found[name] == value for name, value in labels.items())
    assert "trusted" not in json.dumps(found)
    strangers = {"label": f"{names.LABEL_UID}=somebody-else"}
    assert [image for image in one.engine.images.list(filters=strangers) if not image.tags] == []


def test_what_runs_is_what_was_verified_whatever_the_dockerfile_says_of_user_entry_and_later_builds(
    tenant: Callable[[str], Tenant], plain: str
) -> None:
    one = tenant("one")
    text = f"# syntax=127.0.0.1:1/evil/frontend\n{plain}VOLUME /data\nUSER root\nHEALTHCHECK CMD true\n{START}CMD []\n"

    result = one.build(text)

    config = one.engine.images.get(result.image_id).attrs["Config"]
    assert config["User"] == "1001:1001"
    assert config["Entrypoint"] == ["python3", "-u", "/server.py"]
    assert not config["OnBuild"]
    with pytest.raises(BuildError, match="ONBUILD"):
        one.build(f"{plain}ONBUILD ENTRYPOINT evil\n{START}")


def test_no_tenant_gets_what_another_ones_build_left_in_the_cache(tenant: Callable[[str], Tenant], plain: str) -> None:
    dockerfile = f"{plain}RUN head -c 16 /dev/urandom | od -An -tx1 > /made\n{START}"
    first, second = tenant("first"), tenant("second")

    def made(of: Tenant, **arguments: str) -> str:
        image = of.build(dockerfile, build_args=arguments).image_id
        run = of.engine.containers.run
        return str(run(image, ["/made"], entrypoint="cat", remove=True, network_mode="none").decode())

    # A proxy is no part of the cache's key: whoever builds first says what everybody gets.
    poisoned = made(first, http_proxy="http://127.0.0.1:9")

    assert made(second) != poisoned


def test_arguments_are_no_way_into_a_generated_dockerfile_whose_first_layers_are_shared(
    tenant: Callable[[str], Tenant], settings: Settings
) -> None:
    one = tenant("one")
    one.settings = dataclasses.replace(settings, build_ca_file="")
    files = {"package.json": '{"name": "x", "main": "a.js"}', "a.js": NODE_SERVER}

    assert one.build("", files, runtime="node", build_args={"SOMETHING": "of-ours"}).tools

    # Docker warns of those that were given and not declared.
    assert "SOMETHING" not in one.said


def test_what_the_engine_would_fetch_from_its_own_network_is_refused(
    tenant: Callable[[str], Tenant], plain: str, lab: Environment
) -> None:
    one = tenant("one")
    error = one.fail(f"{plain}ADD http://169.254.169.254/latest/meta-data /x\n{START}")
    assert "the engine itself fetch" in error.message

    # Written so that it is seen only by who fills it in: it is copied then, and COPY fetches nothing.
    error = one.fail(f"{plain}ENV WHERE=http://{lab.registry}/v2/\nADD $WHERE /x\n{START}")
    assert error.step is Step.BUILD
    assert "COPY" in error.message


def test_a_build_sees_nothing_of_ours_and_has_no_more_power_than_any_container(
    tenant: Callable[[str], Tenant], plain: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"r.test": {"auth": base64.b64encode(f"me:{SECRET}".encode()).decode()}}})
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("MCP_OPERATOR_GIT_TOKEN", SECRET)
    one = tenant("one")
    look = (
        "env; cat /proc/self/status /proc/*/environ /proc/*/cmdline; cat ~/.docker/config.json; "
        "ls -l /var/run/docker.sock /run/docker.sock /run/containerd; mount; "
        "echo 1 > /proc/sys/kernel/panic || echo sys is read-only; echo c > /proc/sysrq-trigger || echo no sysrq"
    )

    one.build(f"{plain}RUN ({look}) 2>&1 | tr '\\000' '\\n'; true\n{START}")

    assert SECRET not in one.said
    assert "docker.sock: No such file" in one.said.replace("'", "").replace("docker.sock: cannot", "docker.sock:")
    assert "CapEff: 00000000a80425fb" in one.said
    assert "Seccomp: 2" in one.said
    assert "sys is read-only" in one.said
    assert "no sysrq" in one.said


@pytest.mark.requirement("B-11")
def test_secrets_that_a_build_was_given_or_finds_are_masked_wherever_they_are_said(
    tenant: Callable[[str], Tenant], plain: str, tmp_path: Path, settings: Settings
) -> None:
    one = tenant("one")
    one.settings = dataclasses.replace(settings, build_logs=str(tmp_path / "logs"))
    request = one.request()
    auth = RegistryAuth(username="pusher", password="push-" + SECRET)

    error = one.fail(
        f"{plain}ARG NPM_TOKEN\nRUN echo given $NPM_TOKEN and push-{SECRET} && exit 3\n{START}",
        build_args={"NPM_TOKEN": SECRET},
        auth=auth,
    )

    (log,) = (tmp_path / "logs").iterdir()
    everything = f"{one.said}{error}{error.message}{error.hint}{error.log_tail}{log.read_text()}{request}"
    assert "given *** and ***" in error.log_tail
    assert SECRET not in everything


@pytest.mark.requirement("B-01")
def test_the_token_of_a_private_repository_is_in_no_layer_and_no_line(
    tenant: Callable[[str], Tenant], plain: str, git_server: GitServer
) -> None:
    user, token = repositories.CREDENTIALS
    files = {"Dockerfile": f"{plain}COPY . /app/\n{START}", "server.py": SERVER}
    repositories.commit(git_server.root / repositories.PRIVATE, files, "Serve")
    one = tenant("one")
    source = GitSource(url=git_server.url(repositories.PRIVATE), credentials=GitCredentials(username=user, token=token))
    result = one.build("", source=source)

    found = one.engine.containers.run(
        result.image_id,
        ["-c", f"grep -rls -- {token} /app /etc /home /opt /root /tmp; true"],
        entrypoint="sh",
        remove=True,
        network_mode="none",
    )
    assert found == b""
    assert token not in str(one.engine.images.get(result.image_id).history())
    assert token not in one.said
