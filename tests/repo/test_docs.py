"""The documents name what there is, and nothing that is not there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from mcp_operator import conditions, settings
from mcp_operator.images import reasons
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.server import MCPServerSpec

ROOT = Path(__file__).parents[2]
if TYPE_CHECKING:
    from types import ModuleType

    from mcp_operator.models.base import Model

MODELS: dict[str, type[Model]] = {"MCPServer": MCPServerSpec, "MCPAgent": MCPAgentSpec, "ToolPolicy": ToolPolicySpec}
PACKAGES = ("operator/src/mcp_operator", "toolman/src/toolman", "mcp_wrapper/src/mcp_wrapper")

pytestmark = pytest.mark.requirement("F-09")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _modules() -> set[str]:
    found = set()
    for package in PACKAGES:
        source = (ROOT / package).parent
        found |= {str(path.relative_to(source)) for path in (ROOT / package).rglob("*.py")}
    return {name for name in found if not name.endswith("__init__.py")}


def test_the_map_in_architecture_names_every_module_and_no_other() -> None:
    named = set(re.findall(r"`((?:mcp_operator|toolman|mcp_wrapper)/[\w/]+\.py)`", _text("ARCHITECTURE.md")))
    assert named == _modules()


def test_the_reference_names_every_setting_and_its_default() -> None:
    reference = _text("docs/reference.md")
    missing = [entry.name for entry in fields(settings.Settings) if settings.variable(entry.name) not in reference]
    assert not missing


def _constants(module: ModuleType) -> set[str]:
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def test_the_reference_names_every_condition_and_reason() -> None:
    reference = _text("docs/reference.md")
    missing = [
        text
        for text in _constants(conditions) | {reason.value for reason in reasons.Reason}
        if f"`{text}`" not in reference
    ]
    assert not missing


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_relative_link_and_script_named_in_a_document_exists(name: str) -> None:
    text = _text(name)
    links = {target for target in re.findall(r"\]\(([^)#:]+)\)", text) if "://" not in target}
    scripts = set(re.findall(r"`?(scripts/[a-z-]+)\b", text))
    assert [target for target in sorted(links | scripts) if not (ROOT / target).exists()] == []


def test_the_yaml_of_the_readme_is_short_and_fits_the_models() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", _text("README.md"), re.DOTALL)
    assert blocks[0].count("\n") <= 20
    for block in blocks:
        for document in yaml.safe_load_all(block):
            MODELS[document["kind"]].model_validate(document["spec"])
