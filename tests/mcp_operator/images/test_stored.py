from __future__ import annotations

import pytest
from mcp_operator.images import stored


def test_an_inspected_image_and_a_listed_one_read_the_same() -> None:
    common = {"Id": "sha256:1", "Size": 7, "RepoTags": ["r/x:1"], "RepoDigests": ["r/x@sha256:2"]}

    inspected = stored.inspected(
        {**common, "Created": "2026-11-21T17:41:54.790820324Z", "Config": {"Labels": {"a": "b"}}}
    )
    listed = stored.listed({**common, "Created": 1795282914, "Labels": {"a": "b"}})

    assert inspected == listed
    assert listed.references == ("sha256:1", "r/x:1", "r/x@sha256:2")


@pytest.mark.parametrize("created", ["", "0001-01-01T00:00:00Z", "soon"])
def test_an_image_that_says_no_age_is_as_old_as_can_be(created: str) -> None:
    image = stored.inspected({"Id": "sha256:1", "Size": 7, "RepoTags": None, "Created": created, "Config": None})

    assert image == stored.Image(id="sha256:1", size=7)


def test_what_has_no_name_has_no_names() -> None:
    found = {"Id": "i", "Size": 1, "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"], "Labels": None}
    assert stored.listed(found).references == ("i",)


def test_an_inspected_image_says_what_it_starts_and_where() -> None:
    config = {"Entrypoint": ["node"], "Cmd": ["server.js"], "WorkingDir": "/app", "Env": ["A=b=c", "B="]}
    image = stored.inspected({"Id": "sha256:1", "Size": 7, "RepoTags": None, "Created": "", "Config": config})
    assert (image.command, image.working_dir) == (("node", "server.js"), "/app")
    assert image.env == {"A": "b=c", "B": ""}


@pytest.mark.requirement("B-13")
@pytest.mark.parametrize(("said", "triggers"), [(["ENTRYPOINT evil"], True), ([], False), (None, False)])
def test_instructions_that_run_in_later_builds_are_seen(said: list[str] | None, *, triggers: bool) -> None:
    assert stored.inspected({"Id": "i", "Size": 1, "Config": {"OnBuild": said}}).triggers is triggers
