import resource

from wrapper_harness import INITIALIZE, Request, call, free_port, handshake, serving, wrapping

CALLS = 300


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({})


def test_a_toolman_that_is_not_up_yet_is_waited_for() -> None:
    port = free_port()
    with wrapping("--url", f"http://localhost:{port}/mcp", MCP_WRAPPER_DEBUG="1") as wrapper:
        wrapper.say(INITIALIZE)
        while "connection refused" not in wrapper.log:
            assert wrapper.process.poll() is None
        with serving(ordinary, port):
            assert wrapper.hear()["result"]["protocolVersion"] == "2025-06-18"


def test_waiting_ends_with_an_error_that_says_where_and_why() -> None:
    url = f"http://localhost:{free_port()}/mcp"
    with wrapping("--url", url, MCP_WRAPPER_CONNECT_TIMEOUT="0.2") as wrapper:
        message = wrapper.ask(INITIALIZE)["error"]["message"]
        assert url in message
        assert "connection refused" in message


def test_a_toolman_that_is_not_ready_is_asked_again() -> None:
    def reply(request: Request) -> None:
        if len(server.requests) < 4:
            request.answer(503, b"starting", "text/plain", Connection="close")
        else:
            ordinary(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        assert "result" in wrapper.open_session()
        assert wrapper.ask(call(1))["result"] == {}


def test_a_connection_is_used_again() -> None:
    peers = set()

    def reply(request: Request) -> None:
        peers.add(request.sock)
        ordinary(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        server.wait_for("GET")
        for number in range(20):
            wrapper.ask(call(number))
        assert len(peers) <= 2


def test_more_calls_than_files_may_be_open_are_all_answered() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(ordinary) as server:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with wrapping("--url", server.url) as wrapper:
            resource.prlimit(wrapper.process.pid, resource.RLIMIT_NOFILE, (64, 64))
            wrapper.open_session()
            wrapper.say(*(call(number) for number in range(CALLS)))
            assert sorted(wrapper.hear()["id"] for _ in range(CALLS)) == list(range(CALLS))


def test_a_call_that_was_cancelled_while_toolman_was_away_never_runs() -> None:
    port = free_port()
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    with wrapping("--url", f"http://127.0.0.1:{port}/mcp", MCP_WRAPPER_DEBUG="1") as wrapper:
        wrapper.say(call(1), cancel, call(2))
        while "connection refused" not in wrapper.log:
            assert wrapper.process.poll() is None
        with serving(ordinary, port) as server:
            assert wrapper.hear()["id"] == 2
            assert [request.message["id"] for request in server.requests if request.method == "tools/call"] == [2]
