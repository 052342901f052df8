from __future__ import annotations

import contextlib
import dataclasses
import io
import platform
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from mcp_operator import names
from mcp_operator.images import buildx, publish, push, registry, result
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError, BuildRequest, Needs, NpmSource, RegistryAuth, Step
from mcp_operator.images.engine_errors import RefusedError
from mcp_operator.images.plan import Plan
from mcp_operator.images.reasons import Reason
from mcp_operator.images.registry_http import Access
from mcp_operator.images.stored import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mcp_operator.images.engine import Engine

pytestmark = pytest.mark.requirement("B-13", "B-20")

REQUEST = BuildRequest(
    source=NpmSource(package="demo"),
    repository="r.test/team/demo",
    deployment_id="ns-demo-1",
    uid="1",
    tags=("latest", "v{version}", "mcp-{deploymentId}:latest"),
)
OLD, NEW = "sha256:old", "sha256:new"


class Names:
    """The part of an engine that has names."""

    def __init__(self) -> None:
        self.images = {"r.test/team/demo:latest": OLD}
        self.labels: dict[str, str] = {}

    def image(self, reference: str) -> Image | None:
        found = self.images.get(reference)
        return Image(id=found, size=1, labels=self.labels) if found else None

    def pull(self, reference: str, *_: object, **__: object) -> Image:
        del reference
        return Image(id=NEW, size=1)

    def tag(self, image: str, repository: str, tag: str) -> None:
        self.images[f"{repository}:{tag}"] = image

    def remove_image(self, name: str) -> bool:
        return self.images.pop(name, None) is not None


class Silent:
    def step(self, step: Step, detail: str) -> None:
        pass

    def log(self, line: str) -> None:
        pass


def publisher(engine: Names, tmp_path: Path, request: BuildRequest = REQUEST) -> publish.Publisher:
    checkout = Checkout(root=tmp_path, commit="1.2.3", committed=datetime(2026, 1, 1, tzinfo=UTC))
    plan = Plan(checkout=checkout, candidate=cast("Any", None), dockerfile="", version="1.2.3")
    peers = publish.Peers(
        engine=cast("Engine", engine), access=Access(), progress=Silent(), cancelled=threading.Event()
    )
    return publish.Publisher(request, plan, "0123456789abcdef", peers)


def test_an_image_gets_all_its_names_the_first_one_being_that_of_its_input(tmp_path: Path) -> None:
    engine = Names()
    request = dataclasses.replace(REQUEST, push=False)

    with contextlib.ExitStack() as undo:
        reference, given = publisher(engine, tmp_path, request).publish(NEW, 0, undo)
        undo.pop_all()

    assert reference == NEW
    assert given == (
        "r.test/team/demo:1.2.3-01234567",
        "r.test/team/demo:latest",
        "r.test/team/demo:v1.2.3",
        "r.test/team/mcp-ns-demo-1:latest",
    )
    assert set(engine.images.values()) == {NEW}


def test_a_push_that_fails_in_its_middle_gives_every_name_back_to_whom_it_belonged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Names()
    pushed: list[str] = []

    def fail_at_third(_engine: Engine, target: push.Target, *_: object) -> str:
        pushed.extend(target.names)
        if len(pushed) == 3:
            raise BuildError(Reason.IMAGE_PUSH_FAILED, "quota", step=Step.PUSH, hint="Buy more.")
        return "sha256:digest"

    monkeypatch.setattr(push, "push", fail_at_third)

    with pytest.raises(BuildError), contextlib.ExitStack() as undo:
        publisher(engine, tmp_path).publish(NEW, 0, undo)

    assert len(pushed) == 3
    assert engine.images == {"r.test/team/demo:latest": OLD}


@pytest.mark.parametrize(
    "change", [{"repository": "R.test/Demo"}, {"repository": "r.test/x:tag"}, {"tags": ("{what}",)}, {"tags": ("a/b",)}]
)
def test_names_that_no_registry_takes_are_refused_before_anything_is_built(change: dict[str, Any]) -> None:
    with pytest.raises(BuildError) as caught:
        publish.check(dataclasses.replace(REQUEST, **change))

    assert caught.value.reason == Reason.INVALID_SOURCE
    assert caught.value.hint


@pytest.mark.requirement("B-24")
def test_an_image_for_several_platforms_can_only_be_pushed() -> None:
    request = dataclasses.replace(REQUEST, push=False, platforms=("linux/amd64", "linux/arm64"))

    assert publish.several(request)
    with pytest.raises(BuildError) as caught:
        publish.check_platforms(request)

    assert caught.value.reason == Reason.UNSUPPORTED


def test_an_image_for_this_machine_alone_needs_no_other_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")

    assert not publish.several(dataclasses.replace(REQUEST, platforms=("linux/amd64",)))
    assert not publish.several(REQUEST)
    assert publish.several(dataclasses.replace(REQUEST, platforms=("linux/arm64",)))


def record(**more: object) -> result.Record:
    fields: dict[str, Any] = {
        "command": ("x",),
        "working_dir": "/app",
        "evidence": (),
        "protocol_version": "2025-11-25",
        "server_name": "demo",
        "tools": (),
        "warnings": (),
        "language": "node",
        "transport": "stdio",
        "port": None,
        "path": "",
        "era": "legacy",
        "needs": Needs(),
        "bases": {},
    }
    return result.Record(**fields | more)


KEY = "0123456789abcdef"
LABELS = {names.LABEL_KEY: KEY, **result.labels(record())}
FIRST = "r.test/team/demo:1.2.3-01234567"
DIGEST = f"sha256:{'d' * 64}"


class Registry:
    """A registry that has an image with labels, or answers with an error."""

    def __init__(self, labels: dict[str, str] | None = None, error: BuildError | None = None) -> None:
        self.labels = labels
        self.error = error
        self.asked = 0

    def describe(self, *_: object) -> registry.Remote | None:
        self.asked += 1
        if self.error:
            raise self.error
        return registry.Remote(digest=DIGEST, labels=self.labels) if self.labels is not None else None

    def find(self, name: str, *_: object) -> str | None:
        return DIGEST if name == "r.test/team/demo:latest" else None


@pytest.fixture
def push_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Registry], list[str]]:
    def use(there: Registry) -> list[str]:
        pushed: list[str] = []

        def push_one(_engine: Engine, target: push.Target, *_: object) -> str:
            pushed.extend(target.names)
            return DIGEST

        monkeypatch.setattr(registry, "describe", there.describe)
        monkeypatch.setattr(registry, "find", there.find)
        monkeypatch.setattr(push, "push", push_one)
        return pushed

    return use


@pytest.mark.requirement("B-14")
@pytest.mark.parametrize(
    "labels",
    [
        None,
        {},
        {names.LABEL_RESULT: LABELS[names.LABEL_RESULT]},
        {**LABELS, names.LABEL_KEY: KEY[:8] + "another!"},
        {**LABELS, names.LABEL_RESULT: ""},
    ],
)
def test_an_image_whose_labels_do_not_name_this_very_input_is_another(
    tmp_path: Path, push_of: Callable[[Registry], list[str]], labels: dict[str, str] | None
) -> None:
    push_of(Registry(labels))
    engine = Names()
    engine.images[FIRST] = NEW
    engine.labels = labels or {}

    assert publisher(engine, tmp_path).find() is None
    assert publisher(engine, tmp_path, dataclasses.replace(REQUEST, push=False)).find() is None


@pytest.mark.requirement("B-14")
def test_an_image_in_the_registry_gets_the_names_that_it_lacks(
    tmp_path: Path, push_of: Callable[[Registry], list[str]]
) -> None:
    pushed = push_of(Registry(LABELS))
    made = publisher(Names(), tmp_path)

    found = made.find()

    assert found is not None
    assert found.reference == f"r.test/team/demo@{DIGEST}"
    assert made.again(found)[0] == found.reference
    assert pushed == ["r.test/team/demo:v1.2.3", "r.test/team/mcp-ns-demo-1:latest"]


@pytest.mark.requirement("B-14")
@pytest.mark.parametrize(
    "there", [Registry(), Registry(error=BuildError(Reason.REGISTRY_UNREACHABLE, "", step=Step.PUSH))]
)
def test_an_image_that_waits_in_the_engine_is_pushed_under_all_its_names(
    tmp_path: Path, push_of: Callable[[Registry], list[str]], there: Registry
) -> None:
    pushed = push_of(there)
    engine = Names()
    engine.images[FIRST], engine.labels = NEW, LABELS
    made = publisher(engine, tmp_path)

    found = made.find()

    assert found is not None
    assert found.reference == NEW
    reference, names_given = made.again(found)
    assert reference == f"r.test/team/demo@{DIGEST}"
    assert pushed == list(names_given)
    assert pushed[0] == FIRST


def test_a_registry_that_refuses_is_said_before_anything_is_built(
    tmp_path: Path, push_of: Callable[[Registry], list[str]]
) -> None:
    push_of(Registry(error=BuildError(Reason.REGISTRY_AUTHENTICATION, "no", step=Step.PUSH)))

    with pytest.raises(BuildError, match="no"):
        publisher(Names(), tmp_path).find()


@pytest.mark.requirement("B-14")
def test_a_registry_to_which_a_tenant_may_write_proves_nothing(
    tmp_path: Path, push_of: Callable[[Registry], list[str]]
) -> None:
    there = Registry(LABELS)
    push_of(there)
    own = dataclasses.replace(REQUEST, auth=RegistryAuth(username="tenant", password="x"))

    assert publisher(Names(), tmp_path, own).find() is None
    assert there.asked == 0


@pytest.mark.requirement("B-24")
def test_an_image_for_several_platforms_is_built_into_each_repository_under_all_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[tuple[str, ...], bytes]] = []

    def build(archive: io.BytesIO, _file: str, _platforms: object, target: push.Target, *_: object) -> str:
        built.append((target.names, archive.read()))
        return DIGEST if target.repository == REQUEST.repository else "sha256:other"

    monkeypatch.setattr(buildx, "build", build)

    reference, given = publisher(Names(), tmp_path).publish_for(("linux/arm64",), io.BytesIO(b"context"), 0)

    assert reference == f"r.test/team/demo@{DIGEST}"
    assert [names_given for names_given, _ in built] == [given[:3], given[3:]]
    assert {content for _, content in built} == {b"context"}


@pytest.mark.requirement("B-14")
def test_an_image_that_cannot_be_pulled_to_get_more_names_is_said(
    tmp_path: Path, push_of: Callable[[Registry], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    push_of(Registry(LABELS))
    engine = Names()

    def refuse(*_: object, **__: object) -> Image:
        raise RefusedError("unauthorized: authentication required")

    monkeypatch.setattr(engine, "pull", refuse)
    made = publisher(engine, tmp_path)
    found = made.find()
    assert found is not None

    with pytest.raises(BuildError) as caught:
        made.again(found)

    assert caught.value.reason == Reason.REGISTRY_AUTHENTICATION


@pytest.mark.requirement("B-13")
def test_a_tenant_takes_no_name_that_another_image_of_the_engine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "push", lambda *_: "sha256:digest")
    engine = Names()
    request = dataclasses.replace(REQUEST, auth=RegistryAuth(username="tenant", password="own-registry"))

    with pytest.raises(BuildError, match="the name of another image") as caught, contextlib.ExitStack() as undo:
        publisher(engine, tmp_path, request).publish(NEW, 0, undo)

    assert caught.value.reason == Reason.INVALID_SOURCE
    assert engine.images == {"r.test/team/demo:latest": OLD}
