"""AdmissionReviews in and out."""

from __future__ import annotations

import base64
import json

import pytest
from mcp_operator.admission import answers
from mcp_operator.admission.answers import Answer, MalformedError, Request

pytestmark = pytest.mark.requirement("O-15")


def test_a_question_is_read() -> None:
    asked = {"uid": "1", "operation": "UPDATE", "namespace": "team", "object": {"a": 1}, "oldObject": {"a": 0}}
    found = answers.read(json.dumps({"request": asked}).encode())
    assert found == Request(uid="1", operation="UPDATE", namespace="team", object={"a": 1}, before={"a": 0})


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"request": 1}', b'{"request": {"uid": "1"}}', b"[" * 100_000, b"\xff"]
)
def test_what_is_none_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(MalformedError):
        answers.read(body)


def test_a_denial_has_its_reason_on_one_line_and_no_patch() -> None:
    response = answers.write("1", Answer(denied="no\x1b[2J\nway", patch=({"op": "add"},)))["response"]
    assert response["allowed"] is False
    assert response["status"]["message"] == "no [2J way"
    assert "patch" not in response


def test_a_patch_and_warnings_are_written_as_the_api_server_reads_them() -> None:
    operation = {"op": "add", "path": "/x", "value": 1}
    written = answers.write("1", Answer(patch=(operation,), warnings=("w" * 300,)))
    assert (written["apiVersion"], written["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = written["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == ("1", True, "JSONPatch")
    assert json.loads(base64.b64decode(response["patch"])) == [operation]
    assert len(response["warnings"][0]) == answers.WARNING_LENGTH
