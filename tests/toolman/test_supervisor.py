from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from toolman.upstreams import Failure, life, supervisor
from toolman_harness import LIMIT, SCRIPTED
from upstream_harness import ERAS, eventually, process, supervised, tool_call

from toolman import config

if TYPE_CHECKING:
    from pathlib import Path

    from upstream_harness import Upstream

pytestmark = pytest.mark.requirement("T-02", "T-20")

START = "server 'git' stopped (exit code 137) before answering; it is being restarted; "


async def log_says(caplog: pytest.LogCaptureFixture, text: str) -> None:
    await eventually(lambda: text in caplog.text)


@pytest.fixture(autouse=True)
def _everything_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def seen(upstream: Upstream, method: str) -> list[dict[str, Any]]:
    return [message for message in await upstream.ask("seen") if message["method"] == method]


async def test_a_server_is_listed_and_called() -> None:
    async with supervised(process()) as upstream:
        assert "echo" in await upstream.watching.until("offered")
        assert "result" in await upstream.call("echo")
        assert upstream.supervisor.problem == ""
        assert upstream.supervisor.started_at > 0
        assert upstream.supervisor.restarts == 0


async def test_a_call_on_its_way_when_the_server_dies_gets_a_clear_error_and_the_next_one_works() -> None:
    async with supervised(process()) as upstream:
        before = (await upstream.ask("state"))["pid"]
        waiting = tool_call("wait")
        (await upstream.peer()).send(waiting)
        error = (await upstream.call("die"))["error"]
        assert error["message"].startswith(START)
        assert (await waiting.answer())["error"] == error
        assert (await upstream.ask("state"))["pid"] != before
        assert upstream.supervisor.restarts == 1


async def test_the_tools_stay_over_a_restart() -> None:
    async with supervised(process()) as upstream:
        await upstream.call("die")
        await upstream.call("echo")
        first, second = upstream.watching.all("offered")
        assert first == second


async def test_a_server_that_keeps_dying_is_restarted_ever_more_slowly_and_loses_its_tools(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with supervised(process()) as upstream:
        await upstream.call("die")
        await upstream.call("die")
        await log_says(caplog, "next start in 0.5 s")
        assert upstream.watching.all("offered")[-1] is None
        assert upstream.supervisor.offers is None
        with pytest.raises(Failure, match=r"is not running: it stopped \(exit code 137\); it is being restarted"):
            await upstream.supervisor.get()
        await upstream.watching.until("offered", 4)
        await upstream.call("die")
        await log_says(caplog, "next start in 1 s")


async def test_a_server_that_ends_while_starting_shows_its_stderr_in_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with supervised(process("sh", "-c", "echo missing token s3cret >&2; exit 3")) as upstream:
        assert await upstream.watching.until("offered") is None
        with pytest.raises(Failure) as caught:
            await upstream.supervisor.get()
    assert "it stopped (exit code 3) while starting" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "end of its stderr:\nmissing token s3cret" in caplog.text


async def test_a_server_that_does_not_start_in_time_is_ended_and_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = process("sleep", "1000", timeouts=config.Timeouts(start=0.1))
    async with supervised(server) as upstream:
        assert await upstream.watching.until("offered") is None
        assert "it did not start within 0.1 s" in caplog.text
        assert upstream.supervisor.is_introduced


async def test_who_waits_for_a_server_that_is_starting_waits_a_moment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "PATIENCE", 0.05)
    async with supervised(process("sleep", "1000")) as upstream:
        assert not upstream.supervisor.is_introduced
        with pytest.raises(Failure, match="it is still starting"):
            await upstream.supervisor.get()
        await upstream.supervisor.introduced()


async def test_a_first_call_waits_for_the_start() -> None:
    async with supervised(process("sh", "-c", 'sleep 0.3; exec "$@"', "sh", *SCRIPTED)) as upstream:
        assert "result" in await upstream.call("echo")
        await upstream.supervisor.attempted()


@pytest.mark.parametrize("habit", ["no-tools", "no-prompts", "no-resources"])
async def test_one_list_that_fails_hides_that_list_alone(habit: str, caplog: pytest.LogCaptureFixture) -> None:
    async with supervised(process(*ERAS, "legacy", habit)) as upstream:
        await upstream.peer()
        offers = upstream.supervisor.offers
        assert offers is not None
        assert (len(offers.tools), len(offers.prompts), len(offers.resources), len(offers.templates)) == {
            "no-tools": (0, 1, 1, 1),
            "no-prompts": (4, 0, 1, 1),
            "no-resources": (4, 1, 0, 1),
        }[habit]
    assert "today" in caplog.text


async def test_a_server_without_any_list_is_not_running() -> None:
    habits = [f"no-{member}" for member in ("tools", "prompts", "resources", "resourceTemplates")]
    async with supervised(process(*ERAS, "legacy", *habits)) as upstream:
        assert await upstream.watching.until("offered") is None
        assert "no tools today" in upstream.supervisor.problem


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_changed_list_is_listed_again_and_the_others_are_not(era: str) -> None:
    async with supervised(process(*ERAS, era)) as upstream:
        await upstream.peer()
        await upstream.call("tell", method="notifications/prompts/list_changed")
        await upstream.watching.until("offered", 2)
        assert len(await seen(upstream, "prompts/list")) == 2
        assert len(await seen(upstream, "tools/list")) == 1


@pytest.mark.parametrize(("habit", "constant"), [("untold", "REFRESH"), ("no-prompts", "RETRY")])
async def test_a_list_is_asked_for_again_where_nobody_tells_of_its_changes_or_it_failed(
    habit: str, constant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, constant, 0.05)
    async with supervised(process(*ERAS, "modern", habit)) as upstream:
        method = "tools/list" if habit == "untold" else "prompts/list"

        async def is_again() -> bool:
            return len(await seen(upstream, method)) > 1

        await eventually(is_again)
        assert len(await seen(upstream, "resources/list")) == 1


async def test_a_flood_of_changes_is_a_bounded_number_of_lists() -> None:
    async with supervised(process()) as upstream:
        await upstream.call("change", tools=["change", "echo"], times=2000)
        async with asyncio.timeout(LIMIT):
            while upstream.watching.all("offered")[-1] != ["change", "echo"]:
                await upstream.watching.until("offered", len(upstream.watching.all("offered")) + 1)
        assert len(upstream.watching.all("offered")) <= 4


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_what_is_wanted_is_asked_for_again_after_a_restart(era: str) -> None:
    method = "resources/subscribe" if era == "legacy" else "subscriptions/listen"
    async with supervised(process(*ERAS, era)) as upstream:

        async def is_subscribed() -> bool:
            return any("file:///a" in json.dumps(message) for message in await seen(upstream, method))

        async def levels() -> list[dict[str, Any]]:
            return [message["params"] for message in await seen(upstream, "logging/setLevel")]

        await upstream.peer()
        upstream.supervisor.want(frozenset({"file:///a"}))
        upstream.supervisor.want_log_level("error")
        for life in (1, 2):
            await upstream.peer()
            await eventually(is_subscribed)
            if era == "legacy":
                await eventually(levels)
                assert await levels() == [{"level": "error"}]
            await upstream.call("tell", method="notifications/resources/updated", params={"uri": "file:///a"})
            assert await upstream.watching.until("updated", life) == ("file:///a", {"uri": "file:///a"})
            await upstream.call("die")


async def test_what_belongs_to_no_call_reaches_the_watcher() -> None:
    script = 'print(\'{"method":"notifications/message","params":{"data":1}}\', flush=True)'
    shell = f'"$1" -c "$0"; exec "$@"'  # noqa: F541 - reads like the others
    async with supervised(process("sh", "-c", shell, script, *ERAS, "legacy")) as upstream:
        assert await upstream.watching.until("logged") == {"data": 1}
        await upstream.call("tell", method="notifications/tasks/status", params={"taskId": "t"})
        assert await upstream.watching.until("notified") == ("notifications/tasks/status", {"taskId": "t"})


async def test_a_question_that_belongs_to_no_call_reaches_the_watcher() -> None:
    asking = 'printf %s\\\\n \'{"id":1,"method":"roots/list"}\'; exec "$@"'
    async with supervised(process("sh", "-c", asking, "sh", *ERAS, "legacy")) as upstream:
        assert await upstream.watching.until("asked") == "roots/list"


async def test_a_modern_server_without_subscriptions_is_used_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async with supervised(process(*ERAS, "modern", "no-listen")) as upstream:
        assert "result" in await upstream.call("seen")
        await log_says(caplog, "it will not tell of everything")


async def test_stopping_answers_what_is_on_its_way() -> None:
    async with supervised(process()) as upstream:
        call = tool_call("wait")
        (await upstream.peer()).send(call)
    assert "was ended before answering" in (await call.answer())["error"]["message"]


async def test_a_server_that_changes_its_era_while_it_is_down_is_called_all_the_same(tmp_path: Path) -> None:
    era = tmp_path / "era"
    era.write_text("legacy")
    command = f'exec "$@" $(cat {era})'
    async with supervised(process("sh", "-c", command, "sh", *ERAS)) as upstream:
        assert (await upstream.peer()).hello.era == "legacy"
        era.write_text("modern")
        await upstream.call("die")
        assert (await upstream.peer()).hello.era == "modern"
        assert "result" in await upstream.call("seen")
