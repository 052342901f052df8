from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.detect import go_imports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

MAIN = (
    'package main\n\nimport (\n\t"fmt"\n\tx "github.com/a/x/sub"\n\t"example.com/me/pkg/inner"\n)\n\nfunc main() {}\n'
)
INNER = 'package inner\n\nimport "github.com/b/y"\n'


def found(tree: Tree, package: str = "./cmd/s") -> tuple[str, ...]:
    return go_imports.find(tree, "m", package, "example.com/me", ["github.com/a/x", "github.com/b/y", "github.com/c/z"])


@pytest.mark.requirement("B-04")
def test_what_a_program_imports_through_its_own_packages_is_found(write: Write) -> None:
    tree = write({"m/cmd/s/main.go": MAIN, "m/pkg/inner/i.go": INNER, "m/other/o.go": 'import "github.com/c/z"\n'})

    assert found(tree) == ("github.com/a/x/sub", "github.com/b/y")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m/cmd/s/main_test.go", INNER),
        ("m/cmd/s/a_windows.go", INNER),
        ("m/cmd/s/a.go", f"//go:build darwin\n\n{INNER}"),
    ],
)
def test_what_is_for_tests_or_other_systems_is_left_out(write: Write, name: str, text: str) -> None:
    assert found(write({"m/cmd/s/main.go": "package main\n", name: text})) == ()


def test_packages_that_import_each_other_end(write: Write) -> None:
    text = 'package a\n\nimport "example.com/me/cmd/s"\n'

    assert found(write({"m/cmd/s/main.go": text})) == ()
