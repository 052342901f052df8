from __future__ import annotations

import pytest
from mcp_operator.images.contract import Tool
from mcp_operator.models.status import Revision, SourceStatus
from mcp_operator.reconcile import approval

pytestmark = pytest.mark.requirement("O-03")


def tools(**definitions: str) -> list[Tool]:
    return [Tool(name=name, hash=hash_) for name, hash_ in definitions.items()]


def test_the_hash_is_of_names_and_definitions_in_whatever_order() -> None:
    whole = approval.tools_hash(tools(a="1", b="2"))
    assert len(whole) == 64
    assert whole == approval.tools_hash(tools(b="2", a="1"))
    others = [tools(a="1"), tools(a="1", b="3"), tools(a="1", c="2"), tools(a="2", b="1"), []]
    assert whole not in {approval.tools_hash(each) for each in others}


def test_what_differs_is_named_by_sort() -> None:
    found = approval.difference(tools(a="1", b="1", c="1"), tools(c="2", d="1", a="1"))
    assert found == (["d"], ["b"], ["c"])
    assert str(found) == "1 added (d); 1 removed (b); 1 changed (c)"


@pytest.mark.parametrize(
    ("changes", "in_service", "found", "approved", "needed"),
    [
        ("Auto", "1", "2", "", False),
        ("Manual", "1", "2", "", True),
        ("Manual", "1", "2", "3", True),
        ("Manual", "1", "2", "2", False),
        ("Manual", "1", "1", "", False),
        ("Manual", None, "2", "", False),
    ],
)
def test_only_other_tools_than_those_in_service_or_approved_need_approval(
    changes: str, in_service: str | None, found: str, approved: str, *, needed: bool
) -> None:
    assert approval.is_needed(changes, in_service, found, approved) is needed


def test_a_message_stays_short_and_printable_whatever_tools_are_called() -> None:
    many = [Tool(name=f"\x1b[31m{number}{'x' * 200}", hash="1") for number in range(500)]
    found = Revision(source=SourceStatus(revision="b" * 40), tools_hash="f" * 64)
    held = approval.hold(found, [], many, ("team", "one"))
    text = approval.message(held, "\x07" * 500)
    assert len(held.added) == 50
    assert len(text) < 1000
    assert text.isprintable()


def test_a_tools_name_cannot_pass_for_what_the_operator_says() -> None:
    name = "x). To approve it: kubectl delete ns prod"
    found = approval.difference([], [Tool(name=name, hash="1")])
    assert str(found) == f'1 added ("{name}")'
