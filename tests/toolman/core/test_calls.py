from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from dispatch_world import ALL, Modern, dumps, running, standard
from gateway_world import layer, server, settings, until
from toolman.policy import Layer, Limits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.mark.requirement("T-05")
async def test_a_call_goes_out_under_the_servers_own_name_and_its_result_comes_back_as_it_is(log: Path) -> None:
    result = b'{"content":[],"big":9007199254740993,"z":1,"a":null,"tiny":1.0e-7,"half":"\\ud83d","x-unknown":{}}'
    params = b'{"z":1,"name":"s__t","arguments":{"big":9007199254740993,"a":null},"x-unknown":[1,2],"_meta":{"k":1e2}}'
    async with running(log) as world:
        session, _ = world.session()
        answer = world.send(session, "tools/call", params)
        outgoing = world.peer().call.outgoing
        assert {key: bytes(value) for key, value in outgoing.params.items()} == {
            "z": b"1",
            "name": b'"t"',
            "arguments": b'{"big":9007199254740993,"a":null}',
            "x-unknown": b"[1,2]",
        }
        assert {key: bytes(value) for key, value in outgoing.meta.items()} == {"k": b"1e2"}
        assert (outgoing.name, outgoing.progress) == ("t", False)
        world.peer().reply(result)
        assert answer.bytes == result
        assert not session.inflight


@pytest.mark.requirement("T-05")
async def test_an_error_of_the_server_arrives_as_it_is(log: Path) -> None:
    async with running(log) as world:
        for caller in (world.session()[0], Modern()):
            answer = world.call(caller)
            world.peer().fail(-32042, "as it is", {"n": 2**60})
            assert answer.error == {"code": -32042, "message": "as it is", "data": {"n": 2**60}}


@pytest.mark.requirement("T-05")
@pytest.mark.parametrize("token", ["t", 0, 2**60])
async def test_progress_comes_in_order_under_the_clients_token_and_stops_at_the_outcome(
    log: Path, token: int | str
) -> None:
    async with running(log) as world:
        for caller in (world.session()[0], Modern()):
            answer = world.call(caller, _meta={"progressToken": token, "k": 1})
            call = world.peer().call
            assert call.outgoing.progress
            assert "progressToken" not in call.outgoing.meta
            for step in range(3):
                call.progressed({"progressToken": dumps(99), "progress": dumps(step), "x": dumps(step)})  # type: ignore[dict-item]
            world.peer().reply({})
            call.progressed({"progressToken": b"99", "progress": b"4"})  # type: ignore[dict-item]
            assert [note["params"] for note in answer.notes] == [
                {"progressToken": token, "progress": step, "x": step} for step in range(3)
            ]
            assert {note["method"] for note in answer.notes} == {"notifications/progress"}


@pytest.mark.requirement("T-05")
async def test_a_progress_token_is_a_string_or_a_whole_number(log: Path) -> None:
    async with running(log) as world:
        answer = world.call(Modern(), _meta={"progressToken": [1]})
        assert answer.error["code"] == -32602


@pytest.mark.requirement("T-05")
async def test_a_cancelled_call_is_cancelled_at_the_server_and_answered(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        answer = world.send(session, "tools/call", {"name": "s__t"}, "w")
        world.notify(session, "notifications/cancelled", {"requestId": "other"})
        world.notify(session, "notifications/cancelled", {"requestId": "w", "reason": "changed my mind"})
        assert answer.error["message"] == "cancelled by the client"
        assert world.peer().cancelled == [world.peer().call]
        assert world.audit()[0]["outcome"] == "cancelled"
        modern = world.call(Modern())
        assert modern.cancel is not None
        modern.cancel(None)
        assert len(world.peer().cancelled) == 2
        world.notify(session, "notifications/cancelled", {"requestId": [1]})


@pytest.mark.requirement("T-07")
async def test_a_call_waits_for_a_server_that_is_starting(log: Path) -> None:
    async with running(log, wait=False) as world:
        world.servers["s"].ready.clear()
        waiting, cancelled = world.call(Modern()), world.call(Modern())
        assert waiting.raw is None
        assert cancelled.cancel is not None
        cancelled.cancel(None)
        assert cancelled.error["message"] == "cancelled by the client"
        world.servers["s"].ready.set()
        await until(lambda: world.servers["s"].lives and world.peer().calls)
        world.peer().reply({"content": []})
        assert (await waiting.done()).result["content"] == []
        assert len(world.peer().calls) == 1


@pytest.mark.requirement("T-07")
async def test_a_call_whose_server_is_starting_again_is_sent_when_it_is_there(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        world.servers["s"].ready.clear()
        world.peer().events.ended("killed")
        keeper = world.gateway.upstream("s", session)
        await until(lambda: keeper.peer is None)
        waiting, cancelled = world.call(session), world.send(session, "tools/call", {"name": "s__t"}, "w")
        world.notify(session, "notifications/cancelled", {"requestId": "w"})
        assert cancelled.error["message"] == "cancelled by the client"
        world.servers["s"].ready.set()
        await until(lambda: len(world.servers["s"].lives) > 1 and world.peer().calls)
        world.peer().reply({"content": []})
        assert waiting.result == {"content": []}


@pytest.mark.requirement("T-10")
@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("tools/call", {"name": "s__t"}, "Unknown tool: s__t"),
        ("prompts/get", {"name": "s__p"}, "Unknown prompt: s__p"),
        ("resources/read", {"uri": "r://1"}, "Resource not found"),
    ],
)
async def test_what_waits_for_its_server_is_not_sent_if_it_is_denied_meanwhile(
    log: Path, method: str, params: dict[str, str], text: str
) -> None:
    async with running(log) as world:
        session, _ = world.session()
        world.servers["s"].ready.clear()
        world.peer().events.ended("killed")
        await until(lambda: world.gateway.upstream("s", session).peer is None)
        waiting = world.send(session, method, params)
        denied = layer(tools={"deny": ["t"]}, prompts={"deny": ["*"]}, resources={"deny": ["r://*"]})
        world.gateway.apply(settings("s", layers=[denied]))
        world.servers["s"].ready.set()
        assert (await waiting.done()).error["message"] == text
        assert world.peer().calls == []


@pytest.mark.requirement("T-10")
async def test_what_is_still_allowed_by_another_configuration_is_sent(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        world.servers["s"].ready.clear()
        world.peer().events.ended("killed")
        await until(lambda: world.gateway.upstream("s", session).peer is None)
        world.call(session)
        world.gateway.apply(settings("s", layers=[layer(tools={"deny": ["u"]})]))
        world.servers["s"].ready.set()
        await until(lambda: len(world.servers["s"].lives) > 1 and world.peer().calls)


@pytest.mark.requirement("T-05")
async def test_a_server_that_does_not_read_or_does_not_start_is_a_clear_error(log: Path) -> None:
    async with running(log) as world:
        world.peer().is_deaf = True
        assert "it does not read" in world.call(Modern()).error["message"]
        world.servers["s"].offers = None
        world.peer().events.ended("killed")
        keeper = world.gateway.upstream("s", Modern())
        await until(lambda: keeper.peer is None)
        answer = world.call(Modern())
        await answer.done()
        assert answer.error["code"] in {-32000, -32602}


@pytest.mark.requirement("T-12")
async def test_the_tightest_timeout_counts(log: Path) -> None:
    chosen = settings(server(), layers=[Layer(source="A", limits=Limits(call_timeout=7.0)), layer()])
    async with running(log, chosen) as world:
        world.call(Modern())
        assert world.peer().call.timeout == 7.0


@pytest.mark.requirement("T-05")
async def test_requests_to_servers_carry_what_the_modern_era_wants(log: Path) -> None:
    capabilities = b'{"elicitation":{},"sampling":{},"roots":{"a":true},"x":{"k":1e2},"extensions":{"e/x":{}}}'
    async with running(log, s=standard("modern")) as world:
        caller = Modern(capabilities, log_level="debug")
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "traceparent": "00-1", "progressToken": 1}
        world.call(caller, _meta=meta)
        outgoing = world.peer().call.outgoing
        assert outgoing.capabilities == b'{"elicitation":{},"x":{"k":1e2},"extensions":{"e/x":{}}}'
        assert (outgoing.client_info, outgoing.log_level) == (caller.client_info, "debug")
        assert {key: bytes(value) for key, value in outgoing.meta.items()} == {"traceparent": b'"00-1"'}
    everything = settings(server(server_requests=("elicitation", "sampling", "roots")))
    async with running(log, everything, s=standard("modern")) as world:
        world.call(Modern(capabilities))
        assert world.peer().call.outgoing.capabilities is capabilities
        session, _ = world.session(ALL)
        world.call(session)
        outgoing = world.peer().call.outgoing
        assert (outgoing.capabilities, outgoing.log_level) == (ALL, "info")


@pytest.mark.requirement("T-03")
async def test_log_messages_go_to_who_wants_them(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        for caller, expected in (
            (session, ["debug", "error", "odd"]),
            (Modern(), []),
            (Modern(log_level="warning"), ["error", "odd"]),
        ):
            answer = world.call(caller)
            for level in ("debug", "error", "odd"):
                world.peer().call.logged(dumps({"level": level, "data": 1}))  # type: ignore[arg-type]
            world.peer().call.logged(b"[]")  # type: ignore[arg-type]
            assert [note["params"]["level"] for note in answer.notes] == expected
            world.peer().reply({})
        assert world.send(session, "logging/setLevel", {"level": "error"}).result == {}
        answer = world.call(session)
        world.peer().call.logged(dumps({"level": "info"}))  # type: ignore[arg-type]
        assert answer.notes == []
        assert world.send(session, "logging/setLevel", {"level": "loud"}).error["code"] == -32602


@pytest.mark.requirement("T-05")
async def test_other_notifications_of_a_call_reach_clients_of_its_servers_era(log: Path) -> None:
    async with running(log, s=standard("modern")) as world:
        answer = world.call(Modern())
        world.peer().call.notified("x/happened", b'{"n":1}')  # type: ignore[arg-type]
        world.peer().call.notified("notifications/cancelled", None)
        assert answer.notes == [{"jsonrpc": "2.0", "method": "x/happened", "params": {"n": 1}}]
        answer = world.call(world.session()[0])
        world.peer().call.notified("x/happened", None)
        assert answer.notes == []
    async with running(log) as world:
        answer = world.call(world.session()[0])
        world.peer().call.notified("x/happened", None)
        assert answer.notes == [{"jsonrpc": "2.0", "method": "x/happened"}]


async def test_a_session_that_ends_cancels_what_is_on_its_way(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        answer = world.call(session)
        world.sessions.end(session)
        assert answer.error["message"] == "cancelled by the client"
        assert world.peer().cancelled


class Span:
    """One call in a trace."""

    def __init__(self, started: tuple[str, str]) -> None:
        self.started = started
        self.meta = {"traceparent": b'"ours"'}
        self.ended = ""

    def end(self, outcome: str) -> None:
        self.ended = outcome


class Traces:
    """Makes spans and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def start(self, server: str, tool: str, meta: object) -> Span:
        assert isinstance(meta, dict)
        self.spans.append(Span((server, tool)))
        return self.spans[-1]


@pytest.mark.requirement("T-30")
async def test_a_call_is_a_span_below_its_callers_if_traces_are_made(log: Path) -> None:
    async with running(log) as world:
        world.call(Modern(), _meta={"traceparent": "theirs", "k": 1})
        assert bytes(world.peer().call.outgoing.meta["traceparent"]) == b'"theirs"'
        traces: Any = Traces()
        world.gateway.traces = traces
        world.call(Modern(), _meta={"traceparent": "theirs", "k": 1})
        sent = {key: bytes(value) for key, value in world.peer().call.outgoing.meta.items()}
        assert sent == {"traceparent": b'"ours"', "k": b"1"}
        world.peer().reply({})
        assert [(span.started, span.ended) for span in traces.spans] == [(("s", "t"), "ok")]


@pytest.mark.requirement("T-10")
async def test_capabilities_that_could_be_read_in_two_ways_are_none(log: Path) -> None:
    odd = b'{"elicitation":{},"Elicitation":{}}'
    async with running(log, m=standard("modern"), l=standard()) as world:
        world.call(Modern(odd), "m__t")
        assert world.peer("m").call.outgoing.capabilities == b"{}"
        world.call(Modern(odd), "l__t")
        assert b"-32601" in world.peer("l").ask("elicitation/create", {})[0][1]
