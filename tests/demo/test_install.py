"""The chart gets what this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from demo import install
from demo.console import DemoError
from demo.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("F-02")

IMAGES = {"operator": "r/o@1", "toolman": "r/t@1", "mcp-wrapper": "r/w@1", "sample-agent": "r/a@1"}


def environment(tmp_path: Path, **more: str) -> Programs:
    socket = tmp_path / "docker.sock"
    socket.touch()
    return Programs({"TOOLMAN_REGISTRY": "registry:5000", "TOOLMAN_ENGINE_SOCKET": str(socket), **more})


def test_only_values_that_the_chart_has_are_given(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("PEM\n")
    programs = environment(
        tmp_path, TOOLMAN_BASE_PYTHON="py", TOOLMAN_BASE_NODE="js", TOOLMAN_CA_FILE=str(tmp_path / "ca.pem")
    )
    given = install.values(programs, IMAGES, "http://node:1/github.com/")
    known = yaml.safe_load((install.CHART / "values.yaml").read_text())
    for name, value in given.items():
        assert name in known
        if isinstance(value, dict):
            assert set(value) <= set(known[name])
    assert given["git"] == {
        "protocols": ["http", "https"],
        "mirrors": ["https://github.com/=http://node:1/github.com/"],
    }
    assert given["build"] == {"caBundle": "PEM\n"}


def test_what_is_not_set_is_left_to_the_chart(tmp_path: Path) -> None:
    assert set(install.values(environment(tmp_path), IMAGES, None)) == {"images", "registry", "engine"}


def test_a_missing_engine_socket_is_named_with_the_setting(tmp_path: Path) -> None:
    programs = environment(tmp_path, TOOLMAN_ENGINE_SOCKET=str(tmp_path / "none"))
    with pytest.raises(DemoError, match="set TOOLMAN_ENGINE_SOCKET"):
        install.values(programs, IMAGES, None)
