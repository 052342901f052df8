"""In which order attempts are made; tests/integration/test_verify.py makes them in real containers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import pytest
from mcp_operator import names
from mcp_operator.images import attempt, diagnosis
from mcp_operator.images.attempt import Failure, Spoken
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, BuildRequest, GitSource, Needs, Step
from mcp_operator.images.detect.candidate import Hints, Setting
from mcp_operator.images.handshake import Manifest
from mcp_operator.images.reasons import Reason
from mcp_operator.images.verify import ATTEMPTS, Probe, Verified, verify
from mcp_operator.images.writable import Link

if TYPE_CHECKING:
    from mcp_operator.images.contract import Transport
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.sandbox import Limits

pytestmark = pytest.mark.requirement("B-15")

REQUEST = BuildRequest(
    source=GitSource(url="x"), repository="x", deployment_id="x", uid="x", args=("given",), env={"GIVEN_TOKEN": "1"}
)
SPOKEN = Spoken(manifest=Manifest(protocol="2025-11-25", server="x", tools=(), noise=2))
SILENT = Failure(message="it ended", code=1)


class Attempts:
    """Answers each attempt with the next of a row; the last one again and again."""

    def __init__(self, *outcomes: Spoken | Failure) -> None:
        self.made: list[tuple[bool, str, dict[str, str], tuple[str, ...]]] = []
        self._outcomes = list(outcomes)

    def make(self, _engine: object, _image: str, limits: Limits, _reach: object, era: str, _budget: object) -> object:
        env = {name: value for name, value in limits.env.items() if name != "HOME"}
        self.made.append((limits.network, era, env, limits.arguments))
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]


def run(monkeypatch: pytest.MonkeyPatch, attempts: Attempts, hints: Hints | None = None) -> Verified:
    monkeypatch.setattr(attempt, "make", attempts.make)
    heard: list[str] = []
    return verify(cast("Engine", None), "image", REQUEST, Budget(60), heard.append, Probe(hints=hints or Hints()))


def test_nothing_is_added_to_what_the_request_says_as_long_as_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(SPOKEN)

    verified = run(monkeypatch, attempts)

    assert attempts.made == [(False, "legacy", {"GIVEN_TOKEN": "1"}, ("given",))]
    assert verified.needs == Needs()
    assert [warning.partition(";")[0] for warning in verified.warnings] == [
        "it lists no tools",
        "it writes to stdout what is no message (2 lines)",
    ]


def test_an_argument_that_may_only_be_one_of_some_words_is_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    wants = dataclasses.replace(SILENT, lines=["error: the following arguments are required: kind"])
    picky = dataclasses.replace(SILENT, lines=["error: invalid choice: 'placeholder' (choose from one, two)"])
    attempts = Attempts(wants, picky, SPOKEN)

    verified = run(monkeypatch, attempts)

    assert verified.needs.args == ("one",)


def test_options_are_tried_as_one_word_with_their_values_and_then_as_its_files_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wants = dataclasses.replace(SILENT, lines=["The --tools option is required"])
    odd = dataclasses.replace(SILENT, lines=["cannot split undefined"])
    attempts = Attempts(wants, odd, odd, SPOKEN)

    verified = run(monkeypatch, attempts, Hints(args=("--tools=all",)))

    assert [args[1:] for _, _, _, args in attempts.made] == [
        (),
        ("--tools", "placeholder"),
        ("--tools=placeholder",),
        ("--tools=all",),
    ]
    assert verified.needs.args == ("--tools=all",)


def test_the_deciding_line_is_shown_however_much_comes_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["Error: spawnSync jq ENOENT", *(f"    at frame {number}" for number in range(60))]

    with pytest.raises(BuildError) as caught:
        run(monkeypatch, Attempts(dataclasses.replace(SILENT, lines=lines)))

    assert caught.value.log_tail.startswith("Error: spawnSync jq ENOENT\n...\n")
    assert "(jq)" in caught.value.hint


def test_arguments_that_choose_http_are_tried_last(monkeypatch: pytest.MonkeyPatch) -> None:
    hints = Hints(env=(Setting(name="MY_KEY"),), args=("--transport", "streamable-http"))
    attempts = Attempts(SILENT, SILENT, SPOKEN)

    run(monkeypatch, attempts, hints)

    assert [(env.get("MY_KEY", ""), args[1:]) for _, _, env, args in attempts.made] == [
        ("", ()),
        ("placeholder", ()),
        ("placeholder", hints.args),
    ]


def test_where_the_time_for_all_attempts_ends_in_one_what_was_found_before_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = Attempts(dataclasses.replace(SILENT, lines=["MY_KEY is required"]))

    def make(*given: object) -> object:
        if attempts.made:
            raise BuildError(Reason.TIMED_OUT, "too long", step=Step.VERIFY)
        return attempts.make(*given)  # type: ignore[arg-type]  # what it is called with

    monkeypatch.setattr(attempt, "make", make)
    with pytest.raises(BuildError, match="it ended") as caught:
        verify(cast("Engine", None), "image", REQUEST, Budget(60), print)

    assert caught.value.reason == Reason.SETTING_MISSING


def test_a_key_that_has_to_begin_in_some_way_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = dataclasses.replace(SILENT, lines=["MY_KEY is required"])
    picky = dataclasses.replace(SILENT, lines=["The key must start with 'sk_'"])
    attempts = Attempts(asks, picky, SPOKEN)

    verified = run(monkeypatch, attempts)

    assert attempts.made[2][2]["MY_KEY"] == "sk_placeholder"
    assert verified.needs.env == ("MY_KEY",)


def test_what_only_its_sources_name_is_tried_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    hints = Hints(env=(Setting(name="MY_KEY", required=True), Setting(name="MY_MODE")), read=("MY_URL", "MY_TOKEN"))
    attempts = Attempts(*[SILENT] * 3, SPOKEN)

    verified = run(monkeypatch, attempts, hints)

    assert [sorted(set(env) - {"GIVEN_TOKEN"}) for _, _, env, _ in attempts.made] == [
        [],
        ["MY_KEY"],
        ["MY_KEY", "MY_MODE"],
        ["MY_KEY", "MY_MODE", "MY_TOKEN", "MY_URL"],
    ]
    assert verified.needs.env == ("MY_KEY", "MY_MODE", "MY_URL", "MY_TOKEN")


@pytest.mark.parametrize("required", [True, False])
def test_a_server_that_ends_without_a_word_is_told_by_what_its_files_name(
    monkeypatch: pytest.MonkeyPatch, *, required: bool
) -> None:
    hints = Hints(env=(Setting(name="DB_HOST", required=required), Setting(name="DB_LOG", required=False)))

    with pytest.raises(BuildError, match="it ended") as caught:
        run(monkeypatch, Attempts(SILENT), hints)

    assert caught.value.reason == Reason.SETTING_MISSING
    assert f"name DB_HOST{'' if required else ', DB_LOG'}: set those" in caught.value.hint


def test_a_server_that_lists_no_tools_without_a_token_is_told_by_what_its_files_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = "the server answers tools/list with an error: the token is not provided"
    failure = Failure(message=said, code=diagnosis.ANSWERED)

    with pytest.raises(BuildError, match="not provided") as caught:
        run(monkeypatch, Attempts(failure), Hints(env=(Setting(name="MY_TOKEN"),)))

    assert caught.value.reason == Reason.SETTING_MISSING
    assert "does not say which setting; its own files name MY_TOKEN" in caught.value.hint


def test_a_server_that_says_why_it_ends_is_believed_before_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = dataclasses.replace(SILENT, lines=["boom"])

    with pytest.raises(BuildError) as caught:
        run(monkeypatch, Attempts(failure), Hints(env=(Setting(name="DB_HOST", required=True),)))

    assert caught.value.reason == Reason.HANDSHAKE_FAILED


def test_what_the_servers_files_name_is_tried_from_the_required_to_all_and_then_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hints = Hints(
        env=(Setting(name="MY_KEY", required=True), Setting(name="MY_TRANSPORT", value="stdio")), args=("--stdio",)
    )
    attempts = Attempts(SILENT)

    with pytest.raises(BuildError, match="it ended"):
        run(monkeypatch, attempts, hints)

    key = {"MY_KEY": "placeholder"}
    every = {**key, "MY_TRANSPORT": "stdio"}
    stdio = ("given", "--stdio")
    seen = [(network, {**env}, args) for network, _, env, args in attempts.made]
    for _, env, _ in seen:
        assert env.pop("GIVEN_TOKEN") == "1"
    assert seen[:4] == [
        (False, {}, ("given",)),
        (False, key, ("given",)),
        (False, key, stdio),
        (False, every, stdio),
    ]
    assert seen[-1][0]
    assert len(seen) <= ATTEMPTS


def test_a_server_that_speaks_of_the_network_gets_it_before_anything_else_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = Failure(message="it ended", lines=["getaddrinfo ENOTFOUND api.example.com"], code=1)
    attempts = Attempts(failed, SPOKEN)

    verified = run(monkeypatch, attempts, Hints(env=(Setting(name="MY_KEY", required=True),)))

    assert verified.needs == Needs(network=True)
    assert verified.warnings[0] == "it did not start without network"


def test_what_is_asked_for_is_an_error_if_a_placeholder_does_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Failure(message="it ended", lines=["MY_API_KEY is required"], code=1)
    refuses = Failure(message="it ended again", lines=["that is no key of ours"], code=1)
    attempts = Attempts(asks, refuses)

    with pytest.raises(BuildError) as caught:
        run(monkeypatch, attempts)

    assert caught.value.reason == Reason.SETTING_MISSING
    assert "MY_API_KEY" in caught.value.hint
    assert attempts.made[1][2]["MY_API_KEY"] == "placeholder"


def test_a_server_that_is_too_large_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(Failure(message="it ended", code=137, out_of_memory=True))

    with pytest.raises(BuildError) as caught:
        run(monkeypatch, attempts)

    assert (caught.value.reason, len(attempts.made)) == (Reason.OUT_OF_MEMORY, 1)


def test_a_wrong_answer_is_asked_again_in_the_other_era_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(Failure(message="it answers wrongly", code=diagnosis.ANSWERED))

    with pytest.raises(BuildError, match="it answers wrongly"):
        run(monkeypatch, attempts)

    assert [era for _, era, _, _ in attempts.made] == ["legacy", "modern"]


def test_a_server_that_serves_http_for_others_gets_no_network_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(Failure(message="over HTTP, no", code=diagnosis.LISTENS))

    with pytest.raises(BuildError) as caught:
        run(monkeypatch, attempts)

    assert caught.value.reason == Reason.STARTED_HTTP
    assert len(attempts.made) == 1


@pytest.mark.requirement("O-01")
def test_what_the_user_says_of_transport_port_and_path_goes_before_the_servers_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Hints] = []

    def make(*arguments: object) -> Spoken:
        reach = arguments[3]
        assert isinstance(reach, attempt.Reach)
        seen.append(reach.hints)
        return dataclasses.replace(SPOKEN, transport="streamable-http", port=8080, path="/api")

    monkeypatch.setattr(attempt, "make", make)
    asked = dataclasses.replace(REQUEST, as_asked=True, transport="streamable-http", port=8080, path="/api")
    probe = Probe(hints=Hints(transport="stdio", port=1, path="/"))
    verified = verify(cast("Engine", None), "image", asked, Budget(60), lambda _: None, probe)
    assert [(hints.transport, hints.port, hints.path) for hints in seen] == [("streamable-http", 8080, "/api")]
    assert (verified.transport, verified.port, verified.path) == ("streamable-http", 8080, "/api")


@pytest.mark.requirement("O-01")
@pytest.mark.parametrize(("asked", "spoken"), [("stdio", "streamable-http"), ("sse", "stdio")])
def test_a_server_that_speaks_otherwise_than_the_user_says_is_refused(
    monkeypatch: pytest.MonkeyPatch, asked: Transport, spoken: Transport
) -> None:
    monkeypatch.setattr(attempt, "make", Attempts(dataclasses.replace(SPOKEN, transport=spoken)).make)
    request = dataclasses.replace(REQUEST, transport=asked)
    with pytest.raises(BuildError, match=f"speaks MCP over {spoken}; run.transport says {asked}"):
        verify(cast("Engine", None), "image", request, Budget(60), lambda _: None)


READ_ONLY = Failure(message="it ended", lines=["sqlite3.OperationalError: unable to open database file"], code=1)
BESIDE = Failure(message="it ended", lines=["OSError: [Errno 30] Read-only file system: '/app/x.log'"], code=1)


def starts(monkeypatch: pytest.MonkeyPatch, probe: Probe, *outcomes: Spoken | Failure) -> tuple[list[str], Verified]:
    """Give image and folder of each start, and what came of it."""
    made: list[str] = []
    left, heard = list(outcomes), list[str]()

    def make(_engine: object, image: str, limits: Limits, *_: object) -> Spoken | Failure:
        made.append(f"{image} {limits.folder}".strip())
        return left.pop(0)

    monkeypatch.setattr(attempt, "make", make)
    return made, verify(cast("Engine", None), "image", REQUEST, Budget(60), heard.append, probe)


def test_a_server_that_cannot_write_where_it_starts_is_started_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    made, verified = starts(monkeypatch, Probe(moves=True), READ_ONLY, SPOKEN)

    assert made == ["image", "image /tmp"]
    assert (verified.folder, verified.links, verified.needs) == (names.SERVER_HOME, (), Needs())
    assert "so it starts in /tmp" in verified.warnings[0]


def test_a_server_that_writes_beside_its_files_gets_an_image_with_links(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Link, ...]] = []

    def link(links: tuple[Link, ...]) -> str:
        asked.append(links)
        return f"linked-{len(links)}"

    second = dataclasses.replace(BESIDE, lines=["Error: EROFS: read-only file system, mkdir '/app/logs'"])

    made, verified = starts(monkeypatch, Probe(moves=True, link=link), BESIDE, BESIDE, second, SPOKEN)

    assert made == ["image", "image /tmp", "linked-1", "linked-2"]
    assert (
        verified.links
        == asked[-1]
        == (
            Link("/app/x.log", f"{names.SERVER_HOME}/x.log"),
            Link("/app/logs", names.SERVER_HOME),
        )
    )
    assert not verified.folder
    assert "it writes to /app/x.log, /app/logs, a link to /tmp" in verified.warnings[0]


LOGS = Link("/app/packages/a/logs", names.SERVER_HOME)


def test_a_server_that_ends_without_a_word_may_not_find_its_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(folder="/app/packages/a", link=lambda links: f"linked-{len(links)}")

    made, verified = starts(monkeypatch, probe, SILENT, SPOKEN)

    assert made == ["image", "linked-1"]
    assert verified.links == (LOGS,)


def test_a_place_for_logs_that_made_no_difference_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    hints = Hints(env=(Setting(name="MY_KEY", required=True),))
    probe = Probe(hints=hints, folder="/app/packages/a", link=lambda links: f"linked-{len(links)}")

    made, verified = starts(monkeypatch, probe, SILENT, SILENT, SPOKEN)

    assert made == ["image", "linked-1", "image"]
    assert (verified.links, verified.needs.env) == ((), ("MY_KEY",))

    made, verified = starts(monkeypatch, probe, SILENT, SILENT, SILENT, SPOKEN)

    assert made == ["image", "linked-1", "image", "linked-1"]
    assert (verified.links, verified.needs.env) == ((LOGS,), ("MY_KEY",))


def test_a_server_that_cannot_be_helped_to_write_fails_with_what_it_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Failure(message="it ended again", code=1)

    with pytest.raises(BuildError, match=r"it ended$") as caught:
        starts(monkeypatch, Probe(link=lambda _: ""), BESIDE, network, network, network)

    assert "It writes /app/x.log" in caught.value.hint


def test_a_placeholder_that_has_to_be_a_number_becomes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Failure(message="it ended", lines=["MY_API_ID and MY_API_HASH are required"], code=1)
    wrong = Failure(message="it ended", lines=["int(MY_API_ID)", "ValueError: invalid literal for int()"], code=1)
    attempts = Attempts(asks, wrong, SPOKEN)

    verified = run(monkeypatch, attempts)

    assert {"MY_API_ID": "1", "MY_API_HASH": "placeholder"}.items() <= attempts.made[2][2].items()
    assert verified.needs.env == ("MY_API_ID", "MY_API_HASH")


def test_a_placeholder_that_has_to_be_one_of_a_list_becomes_that(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Failure(message="it ended", lines=["MY_API_MODE and MY_API_KEY are required"], code=1)
    wrong = Failure(message="it ended", lines=["MY_API_MODE must be 'single' or 'cluster'"], code=1)
    attempts = Attempts(asks, wrong, SPOKEN)

    verified = run(monkeypatch, attempts)

    assert {"MY_API_MODE": "single", "MY_API_KEY": "placeholder"}.items() <= attempts.made[2][2].items()
    assert verified.needs.env == ("MY_API_MODE", "MY_API_KEY")
