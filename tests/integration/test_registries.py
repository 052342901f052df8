"""Pushing to real registries: open ones, with passwords, tokens and TLS, and some that fail in the middle."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import os
import secrets
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty_proxy import Faults, before
from lab import commands, registries
from lab.pki import Authority
from mcp_operator.images import push, registry
from mcp_operator.images.budget import Budget
from mcp_operator.images.build_log import BuildLog
from mcp_operator.images.contract import BuildError, RegistryAuth, Step
from mcp_operator.images.engine import Engine
from mcp_operator.images.reasons import Reason
from mcp_operator.images.registry_http import Access
from token_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-21")]

GOOD = RegistryAuth(username=registries.USER, password=registries.PASSWORD)
WRONG = RegistryAuth(username=registries.USER, password="wr0ng-in-the-test")
LABELS = {"toolman.dev/test": "registries", "toolman.dev/tools": '["add"]'}
SECONDS = 60.0


@dataclass
class Heard:
    steps: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def step(self, _step: Step, detail: str) -> None:
        self.steps.append(detail)

    def log(self, line: str) -> None:
        self.lines.append(line)


def packed(dockerfile: str, size: int) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in {"Dockerfile.mcp": dockerfile.encode(), "blob": os.urandom(size)}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    file.seek(0)
    return file


DOCKERFILE = "FROM scratch\nCOPY blob /blob\n" + "".join(f"LABEL {name}={value!r}\n" for name, value in LABELS.items())


@dataclass
class Pusher:
    """Pushes an image of this test's own."""

    engine: Engine
    image: str
    heard: Heard = field(default_factory=Heard)
    tags: list[str] = field(default_factory=list)

    def target(self, location: str, **more: object) -> push.Target:
        target = push.Target(repository=f"{location}/team/tool", tags=("1",))
        target = dataclasses.replace(target, **more)  # type: ignore[arg-type]  # each test names real fields
        for tag in target.tags:
            self.engine.tag(self.image, target.repository, tag)
        self.tags += target.names
        return target

    def push(self, location: str, seconds: float = SECONDS, **more: object) -> str:
        return push.push(self.engine, self.target(location, **more), Budget(seconds), self.heard)

    def fail(self, location: str, seconds: float = SECONDS, **more: object) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.push(location, seconds, **more)
        error = caught.value
        assert error.hint
        assert error.step == Step.PUSH
        assert WRONG.password not in f"{error.message}{error.hint}{error.log_tail}{self.heard}"
        return error


@pytest.fixture
def pusher(lab: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> Iterator[Pusher]:
    assert lab.registry
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr(push, "BACKOFF", (0.1, 0.2, 0.3))
    with Engine() as engine:
        image = engine.build(packed(DOCKERFILE, size), "Dockerfile.mcp", BuildLog(), Budget(SECONDS), lambda _: None)
        made = Pusher(engine, image)
        yield made
        for tag in made.tags:
            engine.remove_image(tag)
        engine.remove_image(image)


@pytest.fixture
def size() -> int:
    return 200_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.create()
    return made


@contextlib.contextmanager
def docker_trusts(location: str, authority: Authority) -> Iterator[None]:
    folder = Path("/etc/docker/certs.d") / location
    folder.mkdir(parents=True)
    shutil.copy(authority.certificate, folder / "ca.crt")
    try:
        yield
    finally:
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # others' are in it
            folder.parent.rmdir()


def configure(folder: Path, location: str, auth: RegistryAuth) -> None:
    folder.mkdir()
    text = base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {location: {"auth": text}}}))


@pytest.mark.requirement("B-14")
def test_what_is_pushed_is_found_with_its_labels_and_what_is_not_is_not(pusher: Pusher, tmp_path: Path) -> None:
    with registries.running(tmp_path / "r") as server:
        digest = pusher.push(server.location, tags=("1", "latest"))
        name = f"{server.location}/team/tool"

        assert registry.find(f"{name}:latest", None, Budget(SECONDS)) == digest
        assert registry.find(f"{name}@{digest}", None, Budget(SECONDS)) == digest
        assert registry.find(f"{name}:2", None, Budget(SECONDS)) is None
        assert registry.find(f"{server.location}/none:1", None, Budget(SECONDS)) is None
        found = registry.describe(f"{name}:1", None, Budget(SECONDS))
        assert found
        assert found.labels == LABELS
        assert found.platforms == ("linux/amd64",)
        assert registry.describe(f"{name}:2", None, Budget(SECONDS)) is None
        with pytest.raises(BuildError, match="has nothing"):
            registry.verify_digest(f"{name}:2", digest, None, Budget(SECONDS))
        for tag in ("1", "latest"):
            pusher.engine.remove_image(f"{name}:{tag}")
        pulled = pusher.engine.pull(f"{name}@{digest}", Budget(SECONDS), pusher.heard.log)
        assert pulled.id == pusher.image
        assert f"{name}@{digest}" in pulled.references
        pusher.tags.append(f"{name}@{digest}")
    assert any("of 0.2 MB" in step for step in pusher.heard.steps)


def test_a_registry_with_passwords_takes_the_right_one_and_says_what_is_wrong_with_others(
    pusher: Pusher, tmp_path: Path
) -> None:
    with registries.running(tmp_path / "r", registries.Options(password=True)) as server:
        assert "there are none" in pusher.fail(server.location).message
        error = pusher.fail(server.location, auth=WRONG)
        assert error.reason == Reason.REGISTRY_AUTHENTICATION
        assert f"docker login {server.location}" in error.hint
        assert not error.transient
        digest = pusher.push(server.location, auth=GOOD)

        name = f"{server.location}/team/tool:1"
        for auth in (None, WRONG):
            with pytest.raises(BuildError) as caught:
                registry.find(name, auth, Budget(SECONDS))
            assert caught.value.reason == Reason.REGISTRY_AUTHENTICATION
        pusher.engine.remove_image(name)
        with pytest.raises(BuildError, match="there are none"):
            pusher.engine.pull(name, Budget(SECONDS))
        assert digest in str(pusher.engine.pull(name, Budget(SECONDS), auth=GOOD).digests)


def test_the_credentials_of_dockers_configuration_are_used(pusher: Pusher, tmp_path: Path) -> None:
    with registries.running(tmp_path / "r", registries.Options(password=True)) as server:
        configure(tmp_path / "docker", server.location, GOOD)
        digest = pusher.push(server.location)
        image = pusher.engine.image(pusher.image)
        assert image
        plan = push.plan(image, pusher.target(server.location))

        assert registry.find(f"{server.location}/team/tool:1", None, Budget(SECONDS)) == digest
        assert f"to {server.location} as builder" in plan.lines()[0]


def test_a_registry_with_a_token_server_is_authenticated_with(
    pusher: Pusher, tmp_path: Path, authority: Authority
) -> None:
    with serving(authority, registries.USER, registries.PASSWORD) as configuration:
        options = registries.Options(token=configuration)
        with registries.running(tmp_path / "r", options) as server:
            assert pusher.fail(server.location, auth=WRONG).reason == Reason.REGISTRY_AUTHENTICATION
            digest = pusher.push(server.location, auth=GOOD)
            name = f"{server.location}/team/tool:1"

            assert registry.find(name, GOOD, Budget(SECONDS)) == digest
            with pytest.raises(BuildError) as caught:
                registry.find(name, WRONG, Budget(SECONDS))
            assert caught.value.reason == Reason.REGISTRY_AUTHENTICATION


def test_a_certificate_must_be_trusted_by_docker_and_by_us(
    pusher: Pusher, tmp_path: Path, authority: Authority, lab: Environment
) -> None:
    options = registries.Options(address=lab.node_address, password=True, authority=authority)
    with registries.running(tmp_path / "r", options) as server:
        error = pusher.fail(server.location, auth=GOOD)
        assert error.reason == Reason.CERTIFICATE_UNTRUSTED
        assert f"/etc/docker/certs.d/{server.location}/ca.crt" in error.hint
        with pytest.raises(BuildError) as caught:
            registry.find(f"{server.location}/team/tool:1", GOOD, Budget(SECONDS))
        assert caught.value.reason == Reason.CERTIFICATE_UNTRUSTED

        access = Access(ca_file=str(authority.certificate))
        assert registry.find(f"{server.location}/team/tool:1", GOOD, Budget(SECONDS), access) is None
        with docker_trusts(server.location, authority):
            assert pusher.push(server.location, auth=GOOD).startswith("sha256:")


def test_plain_http_is_spoken_only_where_that_was_asked_for(pusher: Pusher, tmp_path: Path, lab: Environment) -> None:
    with registries.running(tmp_path / "r", registries.Options(address=lab.node_address)) as server:
        error = pusher.fail(server.location)
        assert "speaks plain HTTP" in error.message
        name = f"{server.location}/team/tool:1"
        with pytest.raises(BuildError, match="speaks plain HTTP"):
            registry.find(name, None, Budget(SECONDS))
        assert registry.find(name, None, Budget(SECONDS), Access(plain_http=(server.location,))) is None


@pytest.mark.parametrize("faults", [Faults(answers=[500, 502]), Faults(resets=2)], ids=["500s", "resets"])
def test_faults_that_pass_are_survived(pusher: Pusher, tmp_path: Path, faults: Faults) -> None:
    with registries.running(tmp_path / "r") as server, before(server.location, faults) as location:
        digest = pusher.push(location)
        assert registry.find(f"{server.location}/team/tool:1", None, Budget(SECONDS)) == digest
    assert not faults.answers
    assert not faults.resets


@pytest.mark.parametrize(
    ("status", "reason", "transient"),
    [
        (403, Reason.REGISTRY_AUTHENTICATION, False),
        (404, Reason.IMAGE_PUSH_FAILED, False),
        (429, Reason.REGISTRY_UNREACHABLE, True),
    ],
)
def test_a_fault_that_does_not_pass_is_tried_again_only_where_that_may_help(
    pusher: Pusher, tmp_path: Path, status: int, reason: Reason, *, transient: bool
) -> None:
    faults = Faults(answers=[status] * 1000)
    with registries.running(tmp_path / "r") as server, before(server.location, faults) as location:
        error = pusher.fail(location)

    assert (error.reason, error.transient) == (reason, transient)
    assert len([line for line in pusher.heard.lines if "trying again" in line]) == (3 if transient else 0)


@pytest.mark.parametrize("size", [30_000_000])
@pytest.mark.usefixtures("size")
def test_a_registry_that_stops_in_the_middle_is_the_error_and_not_the_time_limit(
    pusher: Pusher, tmp_path: Path
) -> None:
    faults = Faults(after=5_000_000)
    with registries.running(tmp_path / "r") as server, before(server.location, faults) as location:
        faults.then = server.stop
        error = pusher.fail(location, seconds=12)
    assert error.reason == Reason.REGISTRY_UNREACHABLE
    assert error.transient
    assert any("Retrying" in line for line in pusher.heard.lines)


@pytest.mark.parametrize("size", [30_000_000])
@pytest.mark.usefixtures("size")
def test_a_registry_whose_disk_is_full_is_told_with_that_as_a_cause(pusher: Pusher, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    commands.run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk))
    try:
        with registries.running(tmp_path / "r", registries.Options(data=disk)) as server:
            error = pusher.fail(server.location, seconds=12)
    finally:
        commands.run("umount", "--lazy", str(disk))
    assert error.reason == Reason.REGISTRY_UNREACHABLE
    assert "disk is not full" in error.hint


def test_a_closed_port_is_tried_again_and_then_told(pusher: Pusher) -> None:
    error = pusher.fail("127.0.0.1:1")

    assert error.reason == Reason.REGISTRY_UNREACHABLE
    assert len([line for line in pusher.heard.lines if "trying again" in line]) == 3


@pytest.mark.requirement("B-13")
def test_a_build_is_not_given_the_credentials_of_dockers_configuration(pusher: Pusher, tmp_path: Path) -> None:
    with registries.running(tmp_path / "r", registries.Options(password=True)) as server:
        configure(tmp_path / "docker", server.location, GOOD)
        pusher.push(server.location)
        name = f"{server.location}/team/tool:1"
        pusher.engine.remove_image(name)
        context = packed(f"FROM {name}\nLABEL x={secrets.token_hex(4)}\n", 1)

        with pytest.raises(Exception, match="no basic auth credentials"):
            pusher.engine.build(context, "Dockerfile.mcp", BuildLog(), Budget(SECONDS), lambda _: None)
