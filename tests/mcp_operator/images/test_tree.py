from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import tree as trees
from mcp_operator.images.contract import BuildError
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import ManifestError, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Write = Callable[[Mapping[str, str]], Tree]


def test_nothing_outside_the_tree_can_be_read(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    tree = write({"a/b": "x"})
    (tree.root / "link").symlink_to(tmp_path / "secret")

    for name in ("../secret", "/etc/passwd", "a/../../secret", "link", "a\0b"):
        assert not tree.is_file(name)
        assert tree.text(name) == ""


def test_folders_of_other_peoples_code_are_not_looked_at(write: Write) -> None:
    tree = write({"a.py": "", "node_modules/x/b.py": "", ".venv/c.py": "", "src/__pycache__/d.py": "", "src/e.py": ""})

    assert tree.files == ("a.py", "src/e.py")
    assert tree.below("src") == ("src/e.py",)


def test_a_manifest_that_cannot_be_read_is_named(write: Write) -> None:
    tree = write({"package.json": "{", "list.json": "[]", "pyproject.toml": "= 1", "deep.json": "[" * 100_000})

    with pytest.raises(ManifestError, match=r"package\.json is not JSON"):
        tree.json("package.json")
    with pytest.raises(ManifestError, match=r"list\.json is not a JSON object"):
        tree.json("list.json")
    with pytest.raises(ManifestError, match=r"deep\.json is not JSON"):
        tree.json("deep.json")
    with pytest.raises(ManifestError, match=r"pyproject\.toml is not TOML"):
        tree.toml("pyproject.toml")
    assert tree.json("absent.json") == {}


@pytest.mark.requirement("F-05")
@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../outside", "up/../outside", "../tree-2"])
def test_a_link_that_leaves_the_tree_is_refused(write: Write, target: str) -> None:
    tree = write({"a/b": "x"})
    (tree.root / "up").symlink_to("a")
    (tree.root / "link").symlink_to(target)

    if target == "up/../outside":
        trees.check(tree.root)  # both readings of it stay inside
        return
    with pytest.raises(BuildError, match="link") as caught:
        trees.check(tree.root)

    assert caught.value.reason == Reason.SOURCE_UNSAFE


def test_a_link_through_a_link_cannot_leave_either(write: Write) -> None:
    tree = write({"a/b/c": "x"})
    (tree.root / "a" / "deep").symlink_to("b")
    (tree.root / "sneaky").symlink_to("a/deep/../../../outside")

    with pytest.raises(BuildError, match="sneaky"):
        trees.check(tree.root)


def test_links_inside_the_tree_and_loops_are_fine(write: Write) -> None:
    tree = write({"a/b": "x"})
    (tree.root / "ok").symlink_to("a/b")
    (tree.root / "dangling").symlink_to("nothing")
    (tree.root / "loop").symlink_to("loop")

    trees.check(tree.root)

    assert tree.text("ok") == "x"


def test_a_pipe_is_refused(write: Write) -> None:
    tree = write({"a": ""})
    os.mkfifo(tree.root / "pipe")

    with pytest.raises(BuildError, match="neither a file nor a folder"):
        trees.check(tree.root)


@pytest.mark.parametrize(("path", "normal"), [(".", "."), ("", "."), ("./", "."), ("src//git/", "src/git")])
def test_a_path_is_normalised(path: str, normal: str) -> None:
    assert trees.folder_of(path) == normal


@pytest.mark.parametrize("path", ["..", "a/../b", "/etc", "a b", "a\nRUN id", "$(id)", "-x", 'a"b', "a*"])
def test_a_path_that_means_more_than_a_folder_is_refused(path: str) -> None:
    with pytest.raises(BuildError) as caught:
        trees.folder_of(path)

    assert caught.value.reason == Reason.INVALID_SOURCE
