"""Images that somebody else made, tried out in real containers from a real registry."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from integration.test_verify import build
from mcp_operator import names
from mcp_operator.images import existing
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.existing import ImageRequest
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    import docker
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("O-01")]


@dataclass
class Heard:
    steps: list[Step] = field(default_factory=list)

    def step(self, step: Step, _detail: str) -> None:
        self.steps.append(step)

    def log(self, line: str) -> None:
        """Nothing is done with it."""


@pytest.fixture(scope="module")
def pushed(lab: Environment, engine: docker.DockerClient) -> str:
    """Give the name of an image with a server that is in the registry and not in the engine."""
    text = f'FROM {lab.base_python}\nWORKDIR /srv\nCOPY moods.py /moods.py\nENTRYPOINT ["python3", "-u", "/moods.py"]\n'
    made = build(engine, text)
    repository = f"{lab.registry}/existing/{uuid.uuid4()}"
    engine.api.tag(made, repository, "1")
    engine.images.push(repository, "1")
    engine.images.remove(f"{repository}:1", force=True)
    return f"{repository}:1"


@pytest.fixture
def settings(lab: Environment) -> Settings:
    return Settings(registry=lab.registry, image_toolman="t", image_wrapper="w", base_node=lab.base_node)


def request(pushed: str, digest: str, *args: str) -> ImageRequest:
    reference = existing.pinned(pushed, digest)
    return ImageRequest(uid=str(uuid.uuid4()), reference=reference, args=args, as_asked=True, timeout=240)


@pytest.mark.parametrize(("mood", "transport"), [("legacy", "stdio"), ("http", "streamable-http")])
def test_an_image_is_pulled_tried_out_and_not_kept(
    pushed: str, settings: Settings, engine: docker.DockerClient, mood: str, transport: str
) -> None:
    digest = existing.digest(pushed, None, settings, Budget(60))
    assert digest is not None
    asked, heard = request(pushed, digest, mood), Heard()
    found = existing.examine(asked, settings, heard, threading.Event())
    assert heard.steps == [Step.FETCH, Step.VERIFY]
    assert found.reference == f"{pushed.removesuffix(':1')}@{digest}"
    assert (found.command, found.working_dir) == (("python3", "-u", "/moods.py"), "/srv")
    assert [tool.name for tool in found.tools] == ["look", "touch"]
    assert found.transport == transport
    assert not [image for image in engine.images.list() if asked.reference in image.attrs.get("RepoDigests", ())]
    label: dict[str, str | list[str] | bool] = {"label": f"{names.LABEL_UID}={asked.uid}"}
    assert engine.containers.list(all=True, filters=label) == []


def test_an_image_that_is_not_there_or_does_not_speak_mcp_says_so(pushed: str, settings: Settings) -> None:
    assert existing.digest(f"{pushed}-absent", None, settings, Budget(60)) is None
    digest = existing.digest(pushed, None, settings, Budget(60))
    assert digest is not None
    with pytest.raises(BuildError) as caught:
        existing.examine(request(pushed, digest, "env"), settings, Heard(), threading.Event())
    assert caught.value.step is Step.VERIFY
