from __future__ import annotations

import re

import pytest
from gateway_world import layer
from hypothesis import given
from hypothesis import strategies as st
from toolman.core import resources

pytestmark = pytest.mark.requirement("T-10")


@pytest.mark.parametrize(
    ("template", "uri", "matches"),
    [
        ("file:///{path}", "file:///a", True),
        ("file:///{path}", "file:///a/b", False),
        ("file:///{+path}", "file:///a/b", True),
        ("file:///{path*}", "file:///a/b", True),
        ("db://{table}/rows/{id}", "db://users/rows/1", True),
        ("db://{table}/rows/{id}", "db://users/cols/1", False),
        ("db://{table}/rows/{id}", "db://users/rows/1/2", False),
        ("a:{x}-{y}", "a:1-2-3", True),
        ("a:{+x}-{y}", "a:1/2-3", True),
        ("a:{+x}-{y}", "a:1-b/2-c", True),
        ("q:s{?q,limit}", "q:s?q=a/b&limit=1", True),
        ("q:s{?q,limit}", "q:s", True),
        ("q:s{/seg}", "q:s/x", True),
        ("q:s{#frag}", "q:s#a?b", True),
        ("plain:x", "plain:x", True),
        ("plain:x", "plain:xx", False),
        ("a:{x}b{x}b", "a:b", False),
        ("{+all}", "", True),
        ("a:{unclosed", "a:{unclosed", True),
        ("a:{x}", "A:1", False),
    ],
)
def test_a_template_matches_what_it_may_expand_to(template: str, uri: str, matches: bool) -> None:  # noqa: FBT001
    assert resources.Template(template).matches(resources.Places(uri)) is matches


PARTS = st.lists(st.sampled_from(["{a}", "{+a}", "{?a}", "{/a}", "{a*}", "a", "/", "-", "?", "ab"]), max_size=6)


@given(parts=PARTS, uri=st.text("ab/-?#.", max_size=9))
def test_matching_is_what_a_regular_expression_would_say(parts: list[str], uri: str) -> None:
    free = {"{a}": "[^/]*", "{+a}": "(?s:.)*", "{?a}": "[^#]*", "{/a}": "[^?#]*", "{a*}": "(?s:.)*"}
    expression = "".join(free.get(part) or re.escape(part) for part in parts)
    assert resources.Template("".join(parts)).matches(resources.Places(uri)) == (
        re.fullmatch(expression, uri) is not None
    )


def test_matching_never_takes_long() -> None:
    template = resources.Template("{a}a" * 2_000)  # a backtracking matcher would not come to an end
    assert template.matches(resources.Places("a" * resources.MAX_URI))
    assert not template.matches(resources.Places("a" * (resources.MAX_URI - 1) + "b"))


SECRET = [layer(resources={"deny": ["file:///secret/*"]})]


@pytest.mark.parametrize(
    "uri",
    [
        "file:///secret/x",
        "FILE:///secret/x",
        "file:///data/../secret/x",
        "file:///data/%2e%2e/secret/x",
        "file:///data/%2E%2E%2Fsecret%2Fx",
        "file:///data/%252e%252e/secret/x",
        "file:///%73ecret/x",
        "file:////secret//x",
        "file:///./secret/x",
        "file:/secret/x",
        "file:secret/x",
        "file://localhost/secret/x",
        "file://LOCALHOST/secret/x",
        "file:///secret/x?query",
        "file:///x/..\\secret\\x",
        "file:///sec\tret/x",
        "file:///secret/x%00.txt",
        "file:///sec%0aret/x",
    ],
)
def test_no_other_spelling_of_a_denied_uri_is_allowed(uri: str) -> None:
    assert not resources.decide_uri(SECRET, "s", uri).allowed


@pytest.mark.parametrize(
    "uri", ["file:///data/x", "file:///data/a%20b", "db://q?a=../x", "note", "x:secret/y", "a:b/./c"]
)
def test_other_uris_are_allowed(uri: str) -> None:
    assert resources.decide_uri(SECRET, "s", uri).allowed


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("file:///data/x", True),
        ("file:///data/a%20b", True),
        ("file:///data/x/../y", True),
        ("file:///data/../secret", False),
        ("file:///data/%2e%2e/secret", False),
        ("file:///data/../../data/x", True),
        ("file:///other", False),
    ],
)
def test_walking_leads_to_what_an_allow_list_lists_or_nowhere(uri: str, allowed: bool) -> None:  # noqa: FBT001
    layers = [layer(resources={"allow": ["file:///data/*"]})]
    assert resources.decide_uri(layers, "s", uri).allowed is allowed


def test_what_is_encoded_over_and_over_is_refused() -> None:
    uri = "x:/%" + "25" * 10 + "2e"
    assert not resources.decide_uri([layer()], "s", uri).allowed


@given(uri=st.text(max_size=40))
def test_another_spelling_never_allows_what_is_denied_as_it_is(uri: str) -> None:
    layers = [layer(resources={"deny": ["*a*"]})]
    if "a" in uri:
        assert not resources.decide_uri(layers, "s", uri).allowed
