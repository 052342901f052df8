from __future__ import annotations

import msgspec
import pytest
from toolman.upstreams.connect import LineConnector
from toolman.upstreams.kinds import Connectors, prepare
from toolman.upstreams.streamable import HttpConnector

from toolman import config

pytestmark = pytest.mark.requirement("T-02")

KINDS: dict[str, tuple[config.Upstream, type]] = {
    "process": (config.Process(command=("x",)), LineConnector),
    "pipes": (config.Pipes(directory="/nowhere"), LineConnector),
    "docker": (config.Docker(image="x"), LineConnector),
    "sse": (config.Sse(url="http://localhost:1/sse"), LineConnector),
    "http": (config.Http(url="http://localhost:1/mcp"), HttpConnector),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_connector_and_keeps_it_while_its_configuration_stays(kind: str) -> None:
    upstream, expected = KINDS[kind]
    server = config.Server(name="git", upstream=upstream)
    connectors = Connectors()
    made = connectors(server)
    assert isinstance(made, expected)
    assert connectors(msgspec.structs.replace(server)) is made
    assert connectors(msgspec.structs.replace(server, max_message=2**20)) is not made


async def test_without_sandboxes_there_is_nothing_to_prepare() -> None:
    await prepare([config.Server(name="git", upstream=config.Process(command=("x",)))])
