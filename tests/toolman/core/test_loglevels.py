from __future__ import annotations

import pytest
from toolman.core.loglevels import LogLevels, admits

pytestmark = pytest.mark.requirement("T-03")

HERE = ("s", None)


@pytest.mark.parametrize(
    ("wanted", "level", "admitted"),
    [
        ("info", "info", True),
        ("info", "debug", False),
        ("info", "emergency", True),
        (None, "emergency", False),
        ("error", "of its own", True),
        ("of its own", "debug", True),
    ],
)
def test_messages_are_wanted_from_a_level_on(wanted: str | None, level: str, admitted: bool) -> None:  # noqa: FBT001
    assert admits(wanted, level) is admitted


def test_a_shared_server_is_told_the_most_verbose_level_that_is_wanted() -> None:
    told: list[str | None] = []
    levels = LogLevels(lambda _, level: told.append(level))
    levels.choose("a", [HERE], "warning")
    levels.choose("b", [HERE], "error")
    levels.choose("c", [HERE], "debug")
    levels.choose("c", [HERE], "info")
    assert told == ["warning", "debug", "info"]
    levels.drop("c")
    levels.drop("a")
    levels.drop("a")
    assert told[3:] == ["warning", "error"]
    levels.drop("b")
    assert told[-1] is None
    assert levels._counts == {}
    assert levels._of == {}
    assert levels._at == {}


def test_each_server_has_its_own() -> None:
    levels = LogLevels(lambda *_: None)
    levels.choose("a", [HERE, ("t", None)], "error")
    levels.choose("b", [("t", None)], "info")
    assert [levels.level(home) for home in (HERE, ("t", None), ("u", None))] == ["error", "info", None]


def test_who_wants_a_message_is_known_by_server() -> None:
    levels = LogLevels(lambda *_: None)
    levels.choose("a", [HERE, ("t", None)], "error")
    levels.choose("b", [HERE], "info")
    levels.choose("b", [HERE], "debug")
    assert levels.admitting(HERE, "info") == ["b"]
    assert levels.admitting(HERE, "alert") == ["a", "b"]
    assert levels.admitting(("t", None), "info") == levels.admitting(("u", None), "alert") == []
