"""The documents name what there is, and nothing that is not there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from mcp_operator import conditions, crds, settings
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
    reference = _text("docs/reference/settings.md")
    missing = [entry.name for entry in fields(settings.Settings) if settings.variable(entry.name) not in reference]
    assert not missing


def _constants(module: ModuleType) -> set[str]:
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def test_the_reference_names_every_condition_and_reason() -> None:
    reference = _text("docs/reference/conditions.md")
    missing = [
        text
        for text in _constants(conditions) | {reason.value for reason in reasons.Reason}
        if f"`{text}`" not in reference
    ]
    assert not missing


DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md"))
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_heading_and_script_named_in_a_document_exists(name: str) -> None:
    text = _text(name)
    missing = [
        script for script in set(re.findall(r"(?<![\w/])(scripts/[a-z-]+)\b", text)) if not (ROOT / script).exists()
    ]
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, heading = target.partition("#")
        if "://" in target:
            continue
        path = (ROOT / name).parent / file if file else ROOT / name
        if not path.exists() or (heading and path.suffix == ".md" and heading not in _headings(path)):
            missing.append(target)
    assert missing == []


def _headings(path: Path) -> set[str]:
    """Give the anchors of a page's headings, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_the_yaml_of_the_readme_is_short_and_fits_the_models() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", _text("README.md"), re.DOTALL)
    assert blocks[0].count("\n") <= 20
    for block in blocks:
        for document in yaml.safe_load_all(block):
            MODELS[document["kind"]].model_validate(document["spec"])


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTS if "kind: MCP" in _text(name) or "kind: Tool" in _text(name)]
)
def test_every_resource_that_a_document_shows_fits_the_models(name: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", _text(name), re.DOTALL)
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    ours = [document for document in documents if document.get("kind") in MODELS]
    assert ours
    for document in ours:
        MODELS[document["kind"]].model_validate(document["spec"])


def test_the_readme_shows_the_columns_that_kubectl_shows() -> None:
    shown = [line.split() for line in _text("README.md").splitlines() if line.startswith("NAME ")]
    columns = {kind.kind: [column.name.upper() for column in kind.columns if not column.wide] for kind in crds.KINDS}
    assert shown == [["NAME", *columns["MCPServer"]], ["NAME", *columns["MCPAgent"]]]


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_reference_says_of_every_field_what_it_is(kind: str) -> None:
    rows = [line for line in _text(f"docs/reference/{kind.lower()}.md").splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if not row.removesuffix("|").rpartition("|")[2].strip()] == []
