"""docs/building.md names every reason, option and key of the builder, and no other."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest
from mcp_operator import __main__
from mcp_operator.commands import build
from mcp_operator.images import push, result, scans
from mcp_operator.images.contract import BuildError, BuildResult, Needs, Step, Tool
from mcp_operator.images.preview import Preview
from mcp_operator.images.reasons import Reason

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "building.md").read_text(encoding="utf-8")
ERRORS = TEXT.partition("\n## Errors\n")[2]

pytestmark = pytest.mark.requirement("B-12", "B-23")

RESULT = BuildResult(
    commit="c",
    reference="r@sha256:1",
    image_id="sha256:2",
    size=1,
    command=("x",),
    working_dir="/app",
    evidence=(),
    protocol_version="2025-11-25",
    server_name="s",
    tools=(Tool(name="t", hash="h"),),
    seconds=1.0,
    needs=Needs(),
)


def _subparser(*names: str) -> argparse.ArgumentParser:
    parser = __main__.parser()
    for name in names:
        (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
        parser = commands.choices[name]
    return parser


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings if name.startswith("--")} - {"--help"}


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_keys(inner) for inner in value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def test_every_reason_has_a_row_with_its_remedy_and_no_row_is_for_another() -> None:
    rows = re.findall(r"^\| `(\w+)`(?: \*)? \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", ERRORS, re.MULTILINE)
    known = {*map(str, Reason), scans.TOO_BAD, build.CANCELLED, build.WRONG_USAGE}

    assert {reason for reason, _, _ in rows} == known
    assert len(rows) == len(known)


def test_every_option_of_the_build_is_in_the_table_and_no_other() -> None:
    table = TEXT.partition("\n## Options\n")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (`--.+?) \|", table, re.MULTILINE) for name in re.findall(r"--[\w-]+", row)
    }

    assert named == _options(_subparser("build"))


@pytest.mark.parametrize("command", ["list", "prune"])
def test_every_option_of_the_other_commands_is_named(command: str) -> None:
    section = TEXT.partition("\n## Images that are there\n")[2].partition("\n## ")[0]

    assert not [name for name in _options(_subparser("images", command)) if name not in section]


def test_the_document_has_the_keys_that_are_shown_whether_it_succeeds_or_fails() -> None:
    (shown,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
    succeeded = result.document(RESULT)
    error = BuildError("R", "m", step=Step.BUILD, hint="h", log_tail="l")
    failed = result.failure(error, 1.0)

    assert set(shown) == set(succeeded) == set(failed)
    assert _keys(shown) == _keys(succeeded) | _keys(failed)
    assert succeeded["error"] is None
    assert failed["image"] is failed["manifest"] is None


def test_every_exit_code_is_told() -> None:
    codes = {code for row in re.findall(r"^\| ([\d, ]+) \| ", TEXT, re.MULTILINE) for code in row.split(", ")}
    signals = {build.EXIT_SIGNAL + number for number in build.SIGNALS}

    assert codes == {str(code) for code in (0, build.EXIT_FAILED, build.EXIT_USAGE, __main__.EXIT_PIPE, *signals)}


def test_what_a_dry_run_adds_to_the_document_is_told() -> None:
    preview = Preview(
        commit="",
        dockerfile="",
        language="",
        command=(),
        evidence=(),
        tags=(),
        pushes=(push.Plan(image="", size=0, names=(), server="s", identity="", plain_http=True),),
        reused=False,
        warnings=(),
    )
    planned = result.planned(preview, 0.0)
    section = TEXT.partition("\n## The result\n")[2].partition("\n## ")[0]

    assert set(planned) - set(result.document(RESULT)) == {"push"}
    assert not [key for key in ("push", "dockerfile", *planned["push"][0]) if f"`{key}`" not in section]


def test_every_example_is_a_command_that_is_understood() -> None:
    (examples,) = re.findall(r"```\n(mcp-operator build.*?)```", TEXT, re.DOTALL)
    for line in examples.splitlines():
        words = line.partition("#")[0].replace("'", "").split()
        assert __main__.parser().parse_args(words[1:]).do is build.run
