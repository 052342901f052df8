from __future__ import annotations

import re
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolman import naming

pytestmark = [pytest.mark.requirement("F-07"), pytest.mark.requirement("T-07")]

SERVERS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
TOOLS = st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_./-]{0,128}", fullmatch=True)


def test_a_plain_name_is_the_servers_own() -> None:
    assert naming.expose("plain", "git", "files.read/x") == "files.read/x"


@pytest.mark.parametrize(
    ("tool", "exposed"),
    [("status", "git__status"), ("a.b/c d", "git__a_b_c_d"), ("\u00e9", "git___"), ("a__b", "git__a__b")],
)
def test_a_prefixed_name_has_only_what_model_apis_accept(tool: str, exposed: str) -> None:
    assert naming.expose("prefixed", "git", tool) == exposed


def test_a_long_name_is_shortened_to_the_same_one_every_time() -> None:
    long = "x" * 100
    exposed = naming.expose("prefixed", "git", long)
    assert len(exposed) == naming.MAX_LENGTH
    assert re.fullmatch(r"git__x+_[0-9a-f]{8}", exposed)
    assert exposed == naming.expose("prefixed", "git", long)
    assert exposed != naming.expose("prefixed", "git", long + "x")
    assert len(naming.expose("prefixed", "g" * 63, "t")) == naming.MAX_LENGTH


def test_a_name_of_just_the_limit_is_left_alone() -> None:
    assert naming.expose("prefixed", "git", "x" * 59) == "git__" + "x" * 59


@given(server=SERVERS, tool=TOOLS)
def test_every_name_is_one_that_model_apis_accept(server: str, tool: str) -> None:
    exposed = naming.expose("prefixed", server, tool)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", exposed)
    assert exposed == naming.expose("prefixed", server, tool)


@given(server=SERVERS.filter(lambda name: len(name) < 40), tool=TOOLS)
def test_whose_tool_it_is_can_be_read_from_the_name(server: str, tool: str) -> None:
    assert naming.expose("prefixed", server, tool).partition("__")[0] == server


@given(tools=st.sets(st.tuples(st.sampled_from(["a", "a-b", "b"]), st.text("abAB_.-/\u00e9", max_size=6)), max_size=40))
def test_two_tools_get_one_name_only_where_characters_are_replaced(tools: set[tuple[str, str]]) -> None:
    exposed = defaultdict(set)
    for server, tool in tools:
        exposed[naming.expose("prefixed", server, tool)].add((server, re.sub(r"[^A-Za-z0-9_-]", "_", tool)))
    assert all(len(found) == 1 for found in exposed.values())


@given(tools=st.sets(st.text("ab", min_size=60, max_size=70), max_size=30))
def test_long_names_stay_apart(tools: set[str]) -> None:
    assert len({naming.expose("prefixed", "s", tool) for tool in tools}) == len(tools)
