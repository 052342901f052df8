"""The webhooks over real TLS, with the certificate that the API server is told to trust."""

from __future__ import annotations

import base64
import dataclasses
import json
import ssl
from typing import TYPE_CHECKING, Any, cast

import httpx
import ports
import pytest
from injection_world import INJECTING, POD, InjectionWorld, Registered
from lab.processes import poll
from mcp_operator import cluster
from mcp_operator.admission import serving

if TYPE_CHECKING:
    from mcp_operator.kube import Kubernetes

pytestmark = pytest.mark.requirement("O-15")

SECONDS = 30.0


class Api:
    """A cluster in memory, and the two configurations."""

    def __init__(self, port: int) -> None:
        self.world = InjectionWorld()
        self.registered = Registered(url=f"https://localhost:{port}/")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever either has
        return getattr(self.registered if "webhooks" in name else self.world.cluster, name)

    @property
    def client(self) -> dict[str, Any]:
        return self.registered.client("Mutating", 0)

    def ask(self) -> dict[str, Any]:
        context = ssl.create_default_context(cadata=base64.b64decode(self.client["caBundle"]).decode())
        review = {"request": {"uid": "1", "operation": "CREATE", "namespace": "team", "object": POD}}
        with httpx.Client(verify=context, trust_env=False, timeout=SECONDS) as client:
            found: dict[str, Any] = client.post(self.client["url"], content=json.dumps(review)).json()["response"]
        return found


@pytest.fixture
def api() -> Api:
    return Api(ports.free())


def _settings(api: Api) -> Any:  # noqa: ANN401
    port = int(api.client["url"].rpartition(":")[2].strip("/"))
    return dataclasses.replace(INJECTING, webhook_port=port, webhook_hosts=("localhost",))


def test_it_is_not_served_unless_a_port_is_set(api: Api) -> None:
    unset = dataclasses.replace(INJECTING, webhook_port=0)
    with serving.answering(unset, cast("Kubernetes", api)) as port:
        assert port == 0


def test_whoever_was_told_whom_to_trust_is_answered(api: Api) -> None:
    with serving.answering(_settings(api), cast("Kubernetes", api)):
        assert poll(lambda: "caBundle" in api.client, SECONDS)
        assert "is being written" in api.ask()["status"]["message"]
        api.world.look()
        assert api.ask()["allowed"] is True


def test_while_the_authority_cannot_be_read_it_is_tried_again(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "RETRY", 0.01)
    api.world.cluster.failures["create own Secret"] = cluster.UnreachableError("down")
    with serving.answering(_settings(api), cast("Kubernetes", api)):
        assert poll(lambda: "caBundle" in api.client, SECONDS)
    assert "certificate cannot be made or renewed now: down" in caplog.text


def test_no_file_with_the_key_is_left(api: Api, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with serving.answering(_settings(api), cast("Kubernetes", api)):
        assert poll(lambda: "caBundle" in api.client, SECONDS)
        assert list(tmp_path.iterdir()) == []
