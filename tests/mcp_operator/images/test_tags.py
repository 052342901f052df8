from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_operator.images import tags

pytestmark = pytest.mark.requirement("B-20")

REPOSITORY = "registry.test:5000/team/weather"
FACTS = tags.Facts(
    version="1.2.3",
    commit="0123456789abcdef0123456789abcdef01234567",
    timestamp=datetime(2026, 11, 21, 17, 5, 9, tzinfo=UTC),
    deployment_id="demo-weather-0a1b2c3d",
)


def named(*templates: str, facts: tags.Facts = FACTS) -> list[str]:
    return [str(name) for name in tags.names(templates, REPOSITORY, facts)[0]]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("latest", f"{REPOSITORY}:latest"),
        ("v{version}", f"{REPOSITORY}:v1.2.3"),
        ("version", f"{REPOSITORY}:v1.2.3"),
        ("{timestamp}", f"{REPOSITORY}:20261121-170509"),
        ("timestamp", f"{REPOSITORY}:20261121-170509"),
        ("{commit}", f"{REPOSITORY}:0123456789ab"),
        ("commit", f"{REPOSITORY}:0123456789ab"),
        ("mcp-{deploymentId}:latest", "registry.test:5000/team/mcp-demo-weather-0a1b2c3d:latest"),
        ("release-{version}_{commit}", f"{REPOSITORY}:release-1.2.3_0123456789ab"),
    ],
)
def test_a_template_is_filled_in(template: str, name: str) -> None:
    assert named(template) == [name]


def test_a_repository_without_a_registry_gets_its_neighbours_without_one() -> None:
    found, _ = tags.names(["mcp-{deploymentId}:latest"], "weather", FACTS)
    assert [str(name) for name in found] == ["mcp-demo-weather-0a1b2c3d:latest"]


def test_each_name_is_there_once_in_the_order_that_was_given() -> None:
    assert named("latest", "v{version}", "latest", "version") == [f"{REPOSITORY}:latest", f"{REPOSITORY}:v1.2.3"]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("1.0.0+build.7", "1.0.0-build.7"),
        ("feature/new thing", "feature-new-thing"),
        ("-leading", "leading"),
        (".hidden", "hidden"),
        ("trailing/", "trailing"),
        ("ümläut", "ml-ut"),
        ("////", "_"),
        ("Keep_Case.OK-1", "Keep_Case.OK-1"),
    ],
)
def test_characters_that_no_tag_has_become_dashes(text: str, tag: str) -> None:
    assert tags.safe(text) == tag


@pytest.mark.parametrize(
    ("text", "part"),
    [("@Scope/Server", "scope-server"), ("a__b", "a-b"), ("a..b", "a-b"), ("A_B", "a_b"), ("_x_", "x"), ("!", "x")],
)
def test_a_part_of_a_repository_is_of_lower_case_with_single_separators(text: str, part: str) -> None:
    assert tags.part(text) == part


def test_a_version_is_not_told_twice_that_it_is_one() -> None:
    assert named("v{version}", facts=dataclasses.replace(FACTS, version="v2.0")) == [f"{REPOSITORY}:v2.0"]


def test_what_is_too_long_is_cut_off_and_stays_different() -> None:
    one, other = tags.safe("a" * 200 + "1"), tags.safe("a" * 200 + "2")

    assert len(one) == len(other) == tags.MAX_TAG
    assert one != other
    assert one == tags.safe("a" * 200 + "1")


@pytest.mark.parametrize(
    ("template", "facts"),
    [
        ("v{version}", dataclasses.replace(FACTS, version="")),
        ("{commit}", dataclasses.replace(FACTS, commit="")),
    ],
)
def test_a_tag_of_something_unknown_is_left_out_with_a_warning(template: str, facts: tags.Facts) -> None:
    found, warnings = tags.names([template, "latest"], REPOSITORY, facts)

    assert [name.tag for name in found] == ["latest"]
    assert template in warnings[0]


@pytest.mark.parametrize(
    "template", ["{unknown}", "{}", "a/b:latest", "a:b:c", "", ":", "name:", ":tag", "{version", "version}", "---"]
)
def test_a_template_that_can_never_be_a_name_is_refused(template: str) -> None:
    with pytest.raises(tags.TagError):
        tags.names([template], REPOSITORY, FACTS)


def test_an_unknown_field_is_answered_with_those_there_are() -> None:
    with pytest.raises(tags.TagError, match="deploymentId"):
        tags.check("{deploymentid}")


@pytest.mark.parametrize(
    "repository",
    [
        "weather",
        "team/weather",
        REPOSITORY,
        "localhost/x",
        "ghcr.io/a/b_c/d.e/f--g",
        "127.0.0.1:5000/x",
        "[::1]:5000/x",
    ],
)
def test_names_of_repositories_are_accepted(repository: str) -> None:
    tags.check_repository(repository)


@pytest.mark.parametrize(
    "repository",
    ["", "Weather", "a//b", "a/", "/a", "a b", "weather:latest", "-x", "x-", "a/b@sha256:0", "re gistry.io/x",
     "registry.test:port/x", "x" * 256, "a._b"],
)  # fmt: skip
def test_what_is_no_repository_is_refused(repository: str) -> None:
    with pytest.raises(tags.TagError):
        tags.check_repository(repository)


@given(st.text())
def test_any_text_becomes_a_tag_and_a_repository_that_registries_accept(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", tags.safe(text))
    tags.check_repository(f"registry.test/{tags.part(text)}")
    assert re.fullmatch(r"[a-z0-9._-]+", tags.part(text))
