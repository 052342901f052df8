from __future__ import annotations

import contextlib
import dataclasses
import platform
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from mcp_operator.images import publish, push
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError, BuildRequest, NpmSource, Step
from mcp_operator.images.plan import Plan
from mcp_operator.images.reasons import Reason
from mcp_operator.images.registry_http import Access
from mcp_operator.images.stored import Image

if TYPE_CHECKING:
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

    def image(self, reference: str) -> Image | None:
        return Image(id=self.images[reference], size=1) if reference in self.images else None

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
        reference, names = publisher(engine, tmp_path, request).publish(NEW, 0, undo)
        undo.pop_all()

    assert reference == NEW
    assert names == (
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
