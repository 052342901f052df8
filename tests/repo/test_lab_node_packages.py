"""Installing Node programs for the tests, with npm's real registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from lab import node_packages, settings
from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

NAME = "is-number"
URL = f"https://registry.npmjs.org/{NAME}/-/{NAME}-7.0.0.tgz"
INTEGRITY = "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="


def project(folder: Path, integrity: str) -> Path:
    folder.mkdir()
    wanted = {"name": "wanted", "dependencies": {NAME: "7.0.0"}}
    locked = {"version": "7.0.0", "resolved": URL, "integrity": integrity}
    lock = {"lockfileVersion": 3, "requires": True, "packages": {"": wanted, f"node_modules/{NAME}": locked}}
    (folder / "package.json").write_text(json.dumps(wanted))
    (folder / "package-lock.json").write_text(json.dumps(wanted | lock))
    return folder


def installed(chosen: settings.Settings) -> set[str]:
    return {entry.name for entry in chosen.folder("npm").iterdir()}


def test_what_a_lock_file_names_is_installed_once(tmp_path: Path) -> None:
    chosen = settings.from_environment()
    wanted = project(tmp_path / "wanted", INTEGRITY)
    modules = node_packages.install(chosen, wanted)
    assert (modules / NAME / "package.json").exists()
    before = modules.stat().st_mtime_ns
    assert node_packages.install(chosen, wanted) == modules
    assert modules.stat().st_mtime_ns == before


def test_a_package_of_another_content_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    chosen = settings.from_environment()
    node_packages.node(chosen)
    before = installed(chosen)
    with pytest.raises(LabError, match="npm-cli"):
        node_packages.install(chosen, project(tmp_path / "wanted", "sha512-" + "A" * 86 + "=="))
    assert installed(chosen) <= before | {"npm-10.9.9"}
