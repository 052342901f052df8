from __future__ import annotations

import re

import pytest

from toolman import naming

pytestmark = pytest.mark.requirement("F-07")


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
