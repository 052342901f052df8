from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from mcp_operator import access, cluster
from mcp_operator.kube_secrets import SecretCalls

if TYPE_CHECKING:
    from mcp_operator.access import Access

pytestmark = pytest.mark.requirement("O-34")


def calls(answer: object) -> tuple[SecretCalls, list[tuple[Access, str, str]]]:
    asked: list[tuple[Access, str, str]] = []

    def request(right: Access, namespace: str = "", name: str = "", **_: object) -> dict[str, object]:
        asked.append((right, namespace, name))
        if isinstance(answer, Exception):
            raise answer
        return {"data": answer}

    return SecretCalls(request), asked


def test_a_secret_is_read_by_its_name_alone_and_decoded() -> None:
    api, asked = calls({"token": base64.b64encode(b"hunter2").decode()})
    found = api.secret("team", "far")
    assert found is not None
    assert dict(found) == {"token": b"hunter2"}
    assert asked == [(access.GET_SECRET, "team", "far")]
    secrets = {right.verb for right in access.every() if right.resource.plural == "secrets"}
    assert not secrets & {"list", "watch"}


def test_a_secret_shows_its_keys_and_never_a_value() -> None:
    api, _ = calls({"token": base64.b64encode(b"hunter2").decode(), "user": ""})
    found = api.secret("team", "far")
    assert repr(found) == str(found) == "SecretData(token, user)"
    assert len(found or ()) == 2


def test_a_secret_that_is_not_there_is_none_and_what_is_no_base64_is_nothing() -> None:
    assert calls(cluster.NotFoundError("no"))[0].secret("team", "far") is None
    assert not calls(None)[0].secret("team", "far")
    broken = calls({"token": "%"})[0].secret("team", "far")
    assert broken is not None
    assert broken["token"] == b""
