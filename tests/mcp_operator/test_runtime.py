from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from fake_builder import BOUND, FakeBuilder, failure
from fake_cluster import SERVER, FakeCluster
from mcp_operator import runtime
from mcp_operator.runtime import Runtime
from mcp_operator.settings import Settings
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

SETTINGS = Settings(registry="registry.test", image_toolman="t", image_wrapper="w")


class Builder(FakeBuilder):
    """A builder that also tidies up and knows base images."""

    def __init__(self) -> None:
        super().__init__()
        self.swept: list[set[str]] = []
        self.sweep_errors: list[Exception] = []
        self.closed = False

    def start(self, changed: Callable[[], None]) -> None:
        changed()

    def close(self) -> None:
        self.closed = True

    def sweep(self, alive: Collection[str]) -> None:
        if self.sweep_errors:
            raise self.sweep_errors.pop()
        self.swept.append(set(alive))


class Watched(FakeCluster):
    """Lets a test wait for an Event."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = threading.Event()

    def emit(self, event: dict[str, object]) -> None:
        super().emit(event)
        if event["reason"] == "Ready":
            self.ready.set()


@pytest.mark.requirement("F-08")
def test_what_an_earlier_operator_left_is_removed_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "SWEEP_RETRY", 0.01)
    cluster, builder = Watched(), Builder()
    builder.sweep_errors = [failure("EngineUnavailable", transient=True)]
    uid = cluster.add(SERVER, "one", {"source": {"git": {"url": "https://git.test/one"}}})["metadata"]["uid"]
    running = Runtime(SETTINGS, cluster, builder)
    running.start()
    running.queue.add(Key("MCPServer", "team", "one"))
    assert cluster.ready.wait(BOUND)
    running.stop()
    assert builder.swept == [{uid}]
    assert builder.closed


@pytest.mark.requirement("O-32")
def test_guards_of_servers_that_went_while_no_operator_ran_may_ask_nothing_any_more() -> None:
    cluster, builder = Watched(), Builder()
    cluster.add(SERVER, "one", {"source": {"git": {"url": "https://git.test/one"}}})
    accounts = [{"kind": "ServiceAccount", "name": name, "namespace": "team"} for name in ("one-guard", "gone-guard")]
    assert cluster.binding
    cluster.binding["subjects"] = accounts
    running = Runtime(SETTINGS, cluster, builder)
    running.start()
    assert cluster.ready.wait(BOUND)
    running.stop()
    assert cluster.binding["subjects"] == accounts[:1]


@pytest.mark.requirement("F-08")
def test_every_server_is_looked_at_when_the_base_images_are_known() -> None:
    cluster, builder = Watched(), Builder()
    cluster.add(SERVER, "one", {"source": {"git": {"url": "https://git.test/one"}}})
    running = Runtime(SETTINGS, cluster, builder)
    running.start()
    assert cluster.ready.wait(BOUND)
    running.stop()


@pytest.mark.requirement("F-08")
def test_stopping_cancels_a_build_that_runs() -> None:
    cluster, builder = Watched(), Builder()
    builder.let_go.clear()
    cluster.add(SERVER, "one", {"source": {"git": {"url": "https://git.test/one"}}})
    running = Runtime(SETTINGS, cluster, builder)
    running.start()
    assert builder.started.wait(BOUND)
    running.stop()
    assert not cluster.ready.is_set()
    assert len(builder.requests) == 1
