from __future__ import annotations

import dataclasses
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from fake_builder import BOUND, failure
from mcp_operator import builder, remote
from mcp_operator.builder import ImageBuilder
from mcp_operator.images import existing, git, npm, pipeline, pypi
from mcp_operator.images.contract import (
    BuildCancelled,
    BuildError,
    BuildRequest,
    GitSource,
    NpmSource,
    PypiSource,
    RegistryAuth,
)
from mcp_operator.images.existing import ImageRequest
from mcp_operator.remote import Target
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mcp_operator.images.contract import Progress

SETTINGS = Settings(registry="r", image_toolman="t", image_wrapper="w")
SOURCE = GitSource(url="https://git.test/x", commit="a" * 40)
PYTHON, NODE = SETTINGS.usual_bases
REQUEST = BuildRequest(source=SOURCE, repository="r", deployment_id="d", uid="u")


class Engine:
    """What looking at the base images gives, one answer a look; the last one stays."""

    def __init__(self, *answers: Mapping[str, str] | Exception) -> None:
        self.answers = list(answers)

    def bases(self, settings: Settings, cancelled: threading.Event) -> Mapping[str, str]:
        del settings
        if cancelled.is_set():
            raise BuildCancelled
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.requirement("F-08")
def test_a_key_never_waits_for_the_base_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "bases", Engine({"python": "sha256:1"}).bases)
    images = ImageBuilder(SETTINGS)
    with pytest.raises(BuildError) as error:
        images.key(REQUEST)
    assert error.value.transient
    known = threading.Event()
    images.start(known.set)
    assert known.wait(BOUND)
    assert images.key(REQUEST) == images.key(REQUEST)
    images.close()


def test_base_images_that_are_there_are_known_before_anything_else_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "bases", Engine({"python": "sha256:1"}).bases)
    images = ImageBuilder(SETTINGS)
    images.start(lambda: None)
    assert images.key(REQUEST)
    images.close()


def test_other_base_images_are_told_and_give_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "BASES_INTERVAL", 0.001)
    monkeypatch.setattr(pipeline, "bases", Engine({PYTHON: "sha256:1"}, {PYTHON: "sha256:2"}).bases)
    images = ImageBuilder(SETTINGS)
    keys: list[str] = []
    twice = threading.Semaphore(0)

    def changed() -> None:
        keys.append(images.key(REQUEST))
        twice.release()

    images.start(changed)
    assert twice.acquire(timeout=BOUND)
    assert twice.acquire(timeout=BOUND)
    images.close()
    assert keys[0] != keys[1]
    assert len(keys) == 2


def test_why_the_base_images_are_not_known_is_told_until_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    down = failure("EngineUnavailable", transient=True)
    monkeypatch.setattr(builder, "BASES_RETRY", 0.001)
    engine = Engine(down)
    monkeypatch.setattr(pipeline, "bases", engine.bases)
    images = ImageBuilder(SETTINGS)
    known = threading.Event()
    images.start(known.set)
    assert not known.wait(0.05)
    with pytest.raises(BuildError, match="step 3/9 failed"):
        images.key(REQUEST)
    engine.answers = [{"python": "sha256:1"}]
    assert known.wait(BOUND)
    images.close()


def test_a_commit_needs_no_question() -> None:
    assert ImageBuilder(SETTINGS).resolve(SOURCE) == "a" * 40


@pytest.mark.requirement("O-01")
def test_each_kind_of_source_is_asked_for_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def answer(what: object, *_: object) -> str:
        asked.append(what)
        return "1.0"

    for module in (npm, pypi):
        monkeypatch.setattr(module, "resolve", answer)
    monkeypatch.setattr(git, "tags", answer)
    monkeypatch.setattr(existing, "digest", answer)
    monkeypatch.setattr(remote, "greet", answer)
    images = ImageBuilder(replace(SETTINGS, cluster_networks=("198.51.100.0/24",)))
    assert images.resolve(NpmSource(package="a")) == images.resolve(PypiSource(package="b")) == "1.0"
    images.tags(SOURCE)
    images.digest("registry.test/x:1", None)
    images.greet(Target(url="https://mcp.test", transport="sse"))
    far = Target(url="https://mcp.test", transport="sse", networks=("198.51.100.0/24",))
    assert asked == [NpmSource(package="a"), PypiSource(package="b"), SOURCE, "registry.test/x:1", far]


@pytest.mark.requirement("O-01")
def test_trying_an_image_out_needs_no_base_images(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(existing, "examine", lambda request, *_: asked.append(request))
    images = ImageBuilder(SETTINGS)
    request = ImageRequest(uid="u", reference=f"registry.test/x@sha256:{'1' * 64}")
    keys = {images.key(each) for each in (request, replace(request, args=("a",)), replace(request, port=80))}
    assert len(keys) == 3
    assert images.key(request) == images.key(replace(request, uid="v", auth=RegistryAuth(username="a", password="b")))
    images.build(request, cast("Progress", None), threading.Event())
    assert asked == [request]


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Mapping[str, str]], ImageBuilder]]:
    """Give builders that know the given base images."""
    made: list[ImageBuilder] = []

    def make(bases: Mapping[str, str], settings: Settings = SETTINGS) -> ImageBuilder:
        monkeypatch.setattr(pipeline, "bases", Engine(bases).bases)
        made.append(ImageBuilder(settings))
        made[-1].start(lambda: None)
        return made[-1]

    yield make
    for images in made:
        images.close()


@pytest.mark.requirement("B-14")
def test_another_base_image_means_building_again_only_what_was_built_on_it(
    knowing: Callable[[Mapping[str, str]], ImageBuilder],
) -> None:
    before = {PYTHON: "sha256:p1", NODE: "sha256:n1"}
    on_python = {PYTHON: "sha256:p1"}
    key = knowing(before).key(REQUEST, on_python)

    assert knowing({**before, NODE: "sha256:n2"}).key(REQUEST, on_python) == key
    assert knowing({**before, PYTHON: "sha256:p2"}).key(REQUEST, on_python) != key
    assert knowing({**before, PYTHON: "sha256:p2"}).key(REQUEST, on_python, now=False) == key


@pytest.mark.requirement("B-14")
@pytest.mark.parametrize("base", [SETTINGS.base_go, "python:3.13-slim"])
def test_a_base_image_that_is_not_among_the_usual_ones_counts_too(
    knowing: Callable[[Mapping[str, str]], ImageBuilder], base: str
) -> None:
    used = {base: "sha256:1"}

    assert knowing({PYTHON: "x"}).key(REQUEST, used) == knowing({PYTHON: "x", base: "sha256:1"}).key(REQUEST, used)
    assert knowing({PYTHON: "x", base: "sha256:2"}).key(REQUEST, used) != knowing({PYTHON: "x"}).key(REQUEST, used)


def test_other_settings_mean_looking_at_all_servers(
    knowing: Callable[..., ImageBuilder],
) -> None:
    used = {PYTHON: "sha256:1"}
    other = dataclasses.replace(SETTINGS, base_node="node:24-slim")

    assert knowing({PYTHON: "x"}).key(REQUEST, used) != knowing({PYTHON: "x"}, other).key(REQUEST, used)
