from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import engine_wire
from mcp_operator.images.contract import RegistryAuth

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-13")

GIVEN = RegistryAuth(username="me", password="given")


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    entry = {"username": "ours", "password": "configured"}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r.test": entry}}))


def test_an_image_that_a_stranger_named_is_pulled_as_nobody_whatever_docker_is_configured_with() -> None:
    assert engine_wire.auth_config(engine_wire.NOBODY, "r.test/x:1") == {}


def test_otherwise_the_given_credentials_or_those_of_the_configuration_are_used() -> None:
    assert engine_wire.auth_config(GIVEN, "r.test/x:1") == {"username": "me", "password": "given"}
    assert engine_wire.auth_config(None, "r.test/x:1") == {"username": "ours", "password": "configured"}
    assert engine_wire.auth_config(None, "elsewhere.test/x:1") == {}
