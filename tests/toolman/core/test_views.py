from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gateway_world import layer, listed, offers, server, settings
from toolman.core.views import EVERYTHING, Sight, Views

if TYPE_CHECKING:
    from toolman.core.catalog import View

    from toolman import config

pytestmark = pytest.mark.requirement("T-07")


class Kept:
    """Views with what is said of them."""

    def __init__(self, chosen: config.Config) -> None:
        self.stale: list[Sight] = []
        self.views = Views(chosen, lambda _: True, self._note)

    def _note(self, sight: Sight, _: View) -> None:
        self.stale.append(sight)


def test_a_view_is_made_once_until_something_in_it_may_have_changed() -> None:
    kept = Kept(settings("s"))
    first = kept.views.seen(EVERYTHING)
    assert kept.views.seen(EVERYTHING) is first
    kept.views.offered(("s", None), offers(["t"]))
    assert kept.stale == [EVERYTHING]
    second = kept.views.seen(EVERYTHING)
    assert listed(second) == ["s__t"]
    assert second.generation["tools"] == first.generation["tools"] + 1
    assert kept.views.seen(EVERYTHING) is second


def test_what_a_sessions_own_server_offers_changes_that_sessions_view_alone() -> None:
    kept = Kept(settings(server("own", sessions="perSession"), "s"))
    mine, other = Sight(None, "me"), Sight(None, "you")
    kept.views.seen(mine), kept.views.seen(other)
    kept.views.offered(("own", "me"), offers(["t"]))
    assert kept.stale == [mine]
    assert [listed(kept.views.seen(sight)) for sight in (mine, other, EVERYTHING)] == [["own__t"], [], []]


def test_what_a_session_saw_is_forgotten_with_it() -> None:
    kept = Kept(settings(server("own", sessions="perSession")))
    sight = Sight(None, "me")
    kept.views.seen(sight)
    kept.views.offered(("own", "me"), offers(["t"]))
    kept.views.drop(sight, [("own", "me")])
    assert list(kept.views._views) == [EVERYTHING]
    assert kept.views._judged == {}
    assert kept.views._stale == set()


def test_scopes_that_nobody_configured_are_not_kept() -> None:
    kept = Kept(settings("s"))
    assert listed(kept.views.seen(Sight("made up", None))) == []
    assert list(kept.views._views) == [EVERYTHING]


def test_a_server_that_is_given_up_is_remembered_by_what_it_can() -> None:
    kept = Kept(settings("s"))
    kept.views.offered(("s", None), None)
    assert kept.views.seen(EVERYTHING).speakers == ()
    kept.views.offered(("s", None), offers(["t"]))
    kept.views.offered(("s", None), None)
    seen = kept.views.seen(EVERYTHING)
    assert listed(seen) == []
    assert "prompts" in seen.speakers[0].capabilities


@pytest.mark.requirement("T-14")
def test_another_configuration_is_a_decision_on_everything() -> None:
    kept = Kept(settings("s", "t"))
    kept.views.offered(("s", None), offers(["a", "b"]))
    kept.views.offered(("t", None), offers(["a"]))
    kept.views.apply(settings("t", "s", layers=[layer(tools={"deny": ["b"]})]), [])
    assert listed(kept.views.seen(EVERYTHING)) == ["t__a", "s__a"]
    kept.views.apply(settings("s"), [("t", None)])
    assert listed(kept.views.seen(EVERYTHING)) == ["s__a", "s__b"]


def test_a_client_whose_sight_moves_is_compared_with_what_it_saw() -> None:
    kept = Kept(settings("s"))
    kept.views.offered(("s", None), offers(["t"]))
    kept.views.seen(EVERYTHING)
    moved = Sight(None, "me")
    kept.stale.clear()
    kept.views.move(EVERYTHING, moved)
    assert kept.stale == [moved]
    kept.views.move(moved, moved)
    kept.views.move(Sight("never", "seen"), Sight(None, "you"))
    assert kept.stale == [moved]


def test_the_scope_of_a_server_that_is_gone_shows_nothing() -> None:
    kept = Kept(settings("s", "t"))
    kept.views.offered(("t", None), offers(["t"]))
    scope = Sight("t", None)
    assert listed(kept.views.seen(scope)) == ["t__t"]
    kept.views.apply(settings("s"), [("t", None)])
    assert [listed(kept.views.seen(scope)) for _ in range(2)] == [[], []]
    assert list(kept.views.shared) == []
    kept.views.seen(EVERYTHING)
    assert list(kept.views.shared) == [None]


@pytest.mark.requirement("T-30")
def test_a_report_tells_of_servers_that_each_session_has_for_itself_too() -> None:
    kept = Kept(settings("s", server("own", sessions="perSession")))
    kept.views.offered(("own", "me"), offers(["t"]))
    kept.views.offered(("own", "you"), offers(["t", "u"]))
    kept.views.offered(("s", None), offers(["t"]))
    assert listed(kept.views.everything()) == ["s__t", "own__t", "own__u"]


def test_the_log_holds_only_so_much_of_what_servers_call_their_things(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(settings("s", "t", naming="plain"))
    names = ["x" * 10_000 + str(number) for number in range(100)]
    kept.views.offered(("s", None), offers(names))
    kept.views.offered(("t", None), offers(names))
    kept.views.seen(EVERYTHING)
    assert "and 80 more, so none is shown" in caplog.text
    assert len(caplog.text) < 5_000
