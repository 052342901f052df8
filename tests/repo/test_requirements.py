"""The list of requirements and the tests that prove them agree, both ways."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from requirements import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]


def _marks(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.requirement":
            yield from (ast.literal_eval(argument) for argument in node.args)


def _claims() -> dict[str, list[str]]:
    claims: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for requirement in _marks(path):
            claims[requirement].append(str(path.relative_to(TESTS)))
    return claims


def test_every_requirement_has_a_test() -> None:
    missing = sorted(REQUIREMENTS.keys() - _claims().keys())
    assert not missing, f"no test is marked with {missing}"


def test_every_mark_names_a_requirement() -> None:
    unknown = {name: files for name, files in _claims().items() if name not in REQUIREMENTS}
    assert not unknown, "not in tests/requirements.py"
