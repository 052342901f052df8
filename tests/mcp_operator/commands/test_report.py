from __future__ import annotations

import dataclasses
import json

import pytest
from mcp_operator.commands import report
from mcp_operator.images import push
from mcp_operator.images.contract import BuildError, BuildResult, Needs, Step, Tool
from mcp_operator.images.preview import Preview

pytestmark = pytest.mark.requirement("B-23")

RESULT = BuildResult(
    commit="c0ffee",
    reference="r.test/x@sha256:1",
    image_id="sha256:2",
    size=235_552_790,
    command=("node", "/app/x.js"),
    working_dir="/app",
    evidence=("package.json",),
    protocol_version="2025-11-25",
    server_name="demo 1",
    tools=tuple(Tool(name=f"t{number}", hash="h", tokens=10) for number in range(25)),
    seconds=12.34,
    tags=("r.test/x:latest",),
    warnings=("set spec.run.env",),
    language="node",
    transport="streamable-http",
    port=8000,
    path="/mcp",
    needs=Needs(env=("KEY",), args=("--x",), network=True),
)
PREVIEW = Preview(
    commit="c0ffee",
    dockerfile="FROM x\n",
    language="node",
    command=("node", "x.js"),
    evidence=("package.json",),
    tags=("r.test/x:latest",),
    pushes=(
        push.Plan(image="", size=0, names=("r.test/x:latest",), server="r.test", identity="ann", plain_http=False),
    ),
    reused=False,
    warnings=("set spec.run.env",),
)
ERROR = BuildError("SettingMissing", "no spec.run.env", step=Step.VERIFY, hint="Set spec.run.env.", log_tail="a\nb")


def test_a_person_reads_what_counts(capsys: pytest.CaptureFixture[str]) -> None:
    report.built(RESULT, as_json=False)

    out = capsys.readouterr().out
    for text in (
        "r.test/x:latest",
        "sha256:2",
        "236 MB",
        "node /app/x.js",
        "streamable-http on port 8000/mcp",
        "variable KEY, argument --x, network",
        "25, about 250 tokens",
        "and 5 more",
        "set --env",
    ):
        assert text in out


def test_what_was_found_again_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    report.built(dataclasses.replace(RESULT, reused=True, size=0, tools=(), port=None), as_json=False)

    out = capsys.readouterr().out
    assert "nothing had to be built" in out
    assert "size" not in out


def test_a_program_reads_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    report.built(RESULT, as_json=True)

    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.err == ""
    assert document["image"] == {
        "id": "sha256:2",
        "tags": ["r.test/x:latest"],
        "digest": "sha256:1",
        "size": 235_552_790,
    }
    assert document["manifest"]["needs"] == {"env": ["KEY"], "args": ["--x"], "network": True}
    assert document["manifest"]["tools"][0] == {"name": "t0", "hash": "h", "tokens": 10}
    assert document["error"] is None


def test_a_failure_is_told_to_people_on_stderr_with_options_for_fields(capsys: pytest.CaptureFixture[str]) -> None:
    report.failed(ERROR, 1.0, as_json=False)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "mcp-operator build: Verify failed (SettingMissing): no --env",
        "  | a",
        "  | b",
        "  Set --env.",
    ]


def test_a_failure_is_told_to_programs_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    report.failed(ERROR, 1.0, as_json=True)

    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out)["error"] == {
        "reason": "SettingMissing",
        "step": "Verify",
        "message": "no --env",
        "hint": "Set --env.",
        "log": ["a", "b"],
    }


def test_a_dry_run_says_what_would_go_where_and_as_whom(capsys: pytest.CaptureFixture[str]) -> None:
    report.planned(PREVIEW, 1.0, as_json=False)

    said = capsys.readouterr().out
    assert "would be pushed as  r.test/x:latest" in said
    assert "would push the image to r.test as ann, over HTTPS\n" in said
    assert "set --env" in said


def test_a_dry_run_of_what_is_not_pushed_names_no_registry(capsys: pytest.CaptureFixture[str]) -> None:
    report.planned(dataclasses.replace(PREVIEW, pushes=(), reused=True), 1.0, as_json=False)

    said = capsys.readouterr().out
    assert "would be named" in said
    assert "would push" not in said
    assert "nothing: an image of the same input is there" in said


def test_a_dry_run_is_a_document_with_where_it_would_go(capsys: pytest.CaptureFixture[str]) -> None:
    report.planned(PREVIEW, 1.26, as_json=True)

    document = json.loads(capsys.readouterr().out)
    assert document["image"] == {"id": None, "tags": ["r.test/x:latest"], "digest": None, "size": None}
    assert document["push"] == [
        {"server": "r.test", "identity": "ann", "plainHttp": False, "names": ["r.test/x:latest"]}
    ]
    assert (document["seconds"], document["manifest"], document["error"]) == (1.3, None, None)


def test_a_dockerfile_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    report.dockerfile(PREVIEW, 0.0, as_json=False)
    captured = capsys.readouterr()
    assert captured.out == "FROM x\n"
    assert captured.err == "mcp-operator build: set --env\n"
    report.dockerfile(PREVIEW, 0.0, as_json=True)
    assert json.loads(capsys.readouterr().out)["dockerfile"] == "FROM x\n"


def test_wrong_usage_is_told_to_people_always_and_to_programs_as_a_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report.misused(ERROR, as_json=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "mcp-operator build: no --env\n  Set spec.run.env.\n"

    report.misused(ERROR, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["step"] is None
    assert document["image"] is None
