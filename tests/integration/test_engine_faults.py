"""A Docker Engine that stops, hangs or fails in the middle of a build: what is said, and that nothing is left."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import engine_proxy
import pytest
from lab import registries
from mcp_operator.images import push
from mcp_operator.images.contract import BuildCancelled, BuildError, RegistryAuth, Step
from mcp_operator.images.engine import Engine, connection
from mcp_operator.images.reasons import Reason
from mcp_operator.settings import Settings
from tenant import START, Tenant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker
    from engine_proxy import EngineProxy
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-10"), pytest.mark.requirement("B-13")]


@pytest.fixture
def proxy(lab: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProxy]:
    """Give a proxy before the engine, through which we reach it."""
    with engine_proxy.before(lab.engine_socket, tmp_path) as made:
        monkeypatch.setenv("DOCKER_HOST", made.host)
        yield made


@pytest.fixture
def tenant(lab: Environment, engine: docker.DockerClient, tmp_path: Path, proxy: EngineProxy) -> Iterator[Tenant]:
    """Give a tenant; all that he made is gone afterwards."""
    settings = Settings(
        registry=lab.registry, image_toolman="", image_wrapper="", base_python=lab.base_python, base_node=lab.base_node
    )
    folder = tmp_path / "source"
    folder.mkdir()
    made = Tenant(settings, engine, folder)
    yield made
    proxy.mood = "well"
    made.leave()


def server(lab: Environment, between: str = "") -> str:
    return f"FROM {lab.base_python}\nCOPY server.py /server.py\n{between}{START}"


def when(tenant: Tenant, step: Step, said: str, proxy: EngineProxy, mood: engine_proxy.Mood = "well") -> None:
    """Cut the engine off, once, at the moment when a step says something."""
    left = [1]

    def react(now: Step, detail: str) -> None:
        if left and now is step and said in detail:
            left.clear()
            threading.Timer(0.5, proxy.cut, (mood,)).start()

    tenant.react = react


def unavailable(error: BuildError) -> None:
    assert error.reason == Reason.ENGINE_UNAVAILABLE, error.log_tail
    assert error.transient


def test_an_engine_that_is_restarted_in_mid_build_is_said_and_nothing_is_left(
    tenant: Tenant, proxy: EngineProxy, lab: Environment
) -> None:
    when(tenant, Step.BUILD, "RUN sleep", proxy)

    error = tenant.fail(server(lab, "RUN sleep 100\n"))

    unavailable(error)
    assert error.step is Step.BUILD


def test_what_an_engine_that_stopped_for_longer_has_kept_goes_with_the_next_build(
    tenant: Tenant, proxy: EngineProxy, lab: Environment
) -> None:
    when(tenant, Step.BUILD, "RUN sleep", proxy, "gone")
    with pytest.raises(BuildError) as caught:
        tenant.build(server(lab, "RUN sleep 100\n"))
    unavailable(caught.value)

    proxy.mood = "well"
    tenant.react = lambda _step, _detail: None
    result = tenant.build(server(lab))
    tenant.engine.images.remove(result.tags[0])
    tenant.leave()


def test_an_engine_that_is_restarted_in_mid_verification_is_said_and_nothing_is_left(
    tenant: Tenant, proxy: EngineProxy, lab: Environment
) -> None:
    when(tenant, Step.VERIFY, "handshake", proxy)

    error = tenant.fail(server(lab), {"server.py": "import time; time.sleep(100)\n"})

    unavailable(error)


def test_an_engine_that_is_restarted_in_mid_push_is_said_and_names_go_back_to_the_last_image(
    tenant: Tenant, proxy: EngineProxy, lab: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "BACKOFF", ())
    with registries.running(tmp_path / "r") as registry:
        wanted: dict[str, Any] = {"repository": f"{registry.location}/team/tool", "tags": ("latest",), "push": True}
        before = tenant.build(server(lab), **wanted)
        when(tenant, Step.PUSH, "team/tool", proxy)
        with pytest.raises(BuildError) as caught:
            tenant.build(server(lab, "RUN head -c 200000000 /dev/urandom > /much\n"), **wanted)

    assert caught.value.step is Step.PUSH
    assert caught.value.transient
    assert tenant.engine.images.get(f"{registry.location}/team/tool:latest").id == before.image_id
    assert tenant.engine.containers.list(all=True, filters={"label": f"toolman.dev/uid={tenant.uid}"}) == []


def test_an_engine_that_does_not_answer_is_told_from_one_that_is_not_there(
    proxy: EngineProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CALL_SECONDS", 1)
    proxy.mood = "hangs"
    with pytest.raises(BuildError, match="Docker does not answer") as caught:
        Engine()
    unavailable(caught.value)

    proxy.mood = "gone"
    with pytest.raises(BuildError, match="Docker is not running"):
        Engine()

    proxy.mood = "fails"
    with pytest.raises(BuildError, match="something is wrong inside") as caught:
        Engine()
    assert caught.value.reason == Reason.ENGINE_FAILED
    assert caught.value.transient


def test_a_build_is_cancelled_while_the_engine_says_nothing(tenant: Tenant, lab: Environment) -> None:
    def react(_step: Step, detail: str) -> None:
        if "RUN sleep" in detail:
            threading.Timer(1, tenant.cancelled.set).start()

    tenant.react = react
    with pytest.raises(BuildCancelled):
        tenant.build(server(lab, "RUN sleep 100\n"))
    tenant.assert_nothing_left()


@pytest.mark.requirement("B-21")
def test_a_wrong_password_leaves_the_last_image_its_names_and_is_in_no_log(
    tenant: Tenant, lab: Environment, tmp_path: Path
) -> None:
    good = RegistryAuth(username=registries.USER, password=registries.PASSWORD)
    wrong = RegistryAuth(username=registries.USER, password="wr0ng-in-the-test")
    with registries.running(tmp_path / "r", registries.Options(password=True)) as registry:
        wanted: dict[str, Any] = {"repository": f"{registry.location}/team/tool", "tags": ("latest",), "push": True}
        before = tenant.build(server(lab), auth=good, **wanted)
        with pytest.raises(BuildError) as caught:
            tenant.build(server(lab, "RUN echo changed\n"), auth=wrong, **wanted)

    error = caught.value
    assert (error.reason, error.transient) == (Reason.REGISTRY_AUTHENTICATION, False)
    assert wrong.password not in f"{error}{error.hint}{error.log_tail}{tenant.said}"
    assert tenant.engine.images.get(f"{registry.location}/team/tool:latest").id == before.image_id
