from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect import detect
from mcp_operator.images.detect.candidate import Candidate, ManifestFacts
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]


def manifest(**more: object) -> str:
    return json.dumps({"name": "demo", "tools": [{"name": "a"}, {"name": "b"}], **more})


def facts(candidate: Candidate) -> ManifestFacts:
    assert isinstance(candidate.facts, ManifestFacts)
    return candidate.facts


@pytest.mark.requirement("B-05")
def test_a_typescript_server_is_started_as_it_is(write: Write) -> None:
    text = manifest(dependencies={"npm": {"zod": "^3.0.0", "@scope/x": "*"}})

    candidate = detect(write({"manifest.json": text, "server.ts": "", "tools/a.ts": "", "config.yaml": "a: 1"}))

    assert candidate.runtime == "node"
    assert candidate.command == ("node", "--import", "tsx", "/app/server.ts")
    assert facts(candidate) == ManifestFacts(
        npm=("@scope/x", "zod@^3.0.0"), python=(), node=True, typescript=True, interpreted=False, config=True
    )
    assert "manifest.json lists 2 tools" in candidate.evidence


@pytest.mark.requirement("B-05")
def test_a_python_server_is_started_with_its_own_packages(write: Write) -> None:
    text = manifest(entry="src/run.py", dependencies={"python": ["mcp>=1.2,<2", "httpx[http2]==0.27.*"]})

    candidate = detect(write({"manifest.json": text, "src/run.py": "import mcp.server", "tools/a.py": ""}))

    assert candidate.runtime == "python"
    assert candidate.command == ("/app/.venv/bin/python", "/app/src/run.py")
    assert facts(candidate).python == ("mcp>=1.2,<2", "httpx[http2]==0.27.*")
    assert not facts(candidate).node


@pytest.mark.requirement("B-05")
def test_tools_in_both_languages_need_both(write: Write) -> None:
    tree = write({"manifest.json": manifest(), "main.py": "", "tools/a.py": "", "connectors/b.ts": ""})

    assert (facts(detect(tree)).node, facts(detect(tree)).interpreted) == (True, True)


def test_lists_of_packages_may_stand_beside_each_other(write: Write) -> None:
    text = manifest(npmDependencies=["zod@3"], pythonDependencies={"mcp": "==1.0"})

    found = facts(detect(write({"manifest.json": text, "index.js": "", "tools/a.py": ""})))

    assert (found.npm, found.python) == (("zod@3",), ("mcp==1.0",))


def test_a_configuration_that_is_already_in_its_place_stays_there(write: Write) -> None:
    files = {"manifest.json": manifest(), "index.js": "", "tools/a.js": "", "config.yaml": "", "config/config.yaml": ""}

    assert not facts(detect(write(files))).config


@pytest.mark.requirement("B-05")
@pytest.mark.parametrize(
    "dependencies",
    [
        {"npm": ["--registry=http://evil"]},
        {"npm": ["git+https://example.com/x"]},
        {"npm": {"../x": "1"}},
        {"npm": ["zod@file:../x"]},
        {"python": ["--index-url=http://evil"]},
        {"python": ["x @ https://example.com/x.whl"]},
        {"python": ["-r /etc/passwd"]},
        {"python": ["x; import os\nRUN id"]},
    ],
)
def test_only_names_of_packages_are_installed(write: Write, dependencies: dict[str, object]) -> None:
    tree = write({"manifest.json": manifest(dependencies=dependencies), "index.js": "", "tools/a.js": ""})

    with pytest.raises(BuildError) as caught:
        detect(tree)

    assert caught.value.reason == Reason.INVALID_MANIFEST


@pytest.mark.parametrize("entry", ["../x.py", "gone.ts", "a b.py", "run.sh"])
def test_an_entry_that_is_not_there_is_said(write: Write, entry: str) -> None:
    tree = write({"manifest.json": manifest(entry=entry), "run.sh": "", "a b.py": "", "tools/a.js": ""})

    with pytest.raises(BuildError) as caught:
        detect(tree)

    assert caught.value.reason == Reason.NO_START_COMMAND
    assert "entry" in caught.value.hint


@pytest.mark.parametrize(
    "files",
    [
        {"manifest.json": manifest(), "index.js": ""},
        {"manifest.json": '{"manifest_version": 3}', "tools/a.js": ""},
        {"manifest.json": manifest(), "tools/a.js": "", "package.json": "{}"},
    ],
)
def test_other_files_of_that_name_mean_nothing(write: Write, files: dict[str, str]) -> None:
    with pytest.raises(BuildError) as caught:
        detect(write(files))

    assert caught.value.reason in (Reason.NOTHING_DETECTED, Reason.NOT_AN_MCP_SERVER)
