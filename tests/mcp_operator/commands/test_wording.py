from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from mcp_operator import images
from mcp_operator.commands import wording

pytestmark = pytest.mark.requirement("B-23")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Set spec.source.git.path to a.", "Set --path to a."),
        ("Raise spec.build.timeoutSeconds, or", "Raise --timeout, or"),
        ("spec.run.env and spec.run.args", "--env and --arg"),
        ("Start Docker.", "Start Docker."),
        (
            "Check the operator's setting TOOLMAN_REGISTRY, that the registry runs; it is tried again.",
            "Check --repository, that the registry runs.",
        ),
        (
            "Check the host, and that the operator can resolve it.",
            "Check the host, and that this machine can resolve it.",
        ),
    ],
)
def test_fields_of_a_resource_are_told_as_options(text: str, told: str) -> None:
    assert wording.options(text) == told


def _sentences() -> list[str]:
    """Give every text of the builder that is not of its documentation: hints are among them."""
    found = []
    for path in Path(images.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        found += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
        ]
    return found


def test_no_advice_on_a_laptop_speaks_of_an_operator_or_of_a_resource() -> None:
    told = [wording.options(text) for text in _sentences()]

    assert not [text for text in told if re.search(r"\bspec\.[a-z]|\bthe operator('s)?\b", text)]
