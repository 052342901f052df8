import socket

import pytest
from wrapper_harness import Request, Server, call, handshake, serving, wrapping


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({})


class OnIPv6(Server):
    def _listen(self, port: int) -> socket.socket:
        return socket.create_server(("::1", port), family=socket.AF_INET6)


@pytest.mark.requirement("W-05")
def test_localhost_is_found_at_the_other_address_when_the_first_refuses() -> None:
    try:
        server = OnIPv6(ordinary)
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        with wrapping("--url", server.url) as wrapper:
            assert "result" in wrapper.ask(call(1))
    finally:
        server.close()


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"],
)
def test_a_peer_that_does_not_speak_http_is_an_error_for_the_call(answer: bytes) -> None:
    def reply(request: Request) -> None:
        request.raw(answer)
        request.drop()

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        assert "was lost while tools/call ran" in wrapper.ask(call(1))["error"]["message"]


def test_a_response_in_single_bytes_is_understood() -> None:
    def reply(request: Request) -> None:
        body = b'{"jsonrpc":"2.0","id":1,"result":{}}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        for byte in head + b"".join(b"1\r\n%c\r\n" % letter for letter in body) + b"0\r\n\r\n":
            request.raw(bytes([byte]))

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        assert wrapper.ask(call(1))["result"] == {}


def test_a_server_that_closes_after_each_answer_is_served_as_well() -> None:
    def reply(request: Request) -> None:
        request.result({"n": request.message["id"]}, Connection="close")
        request.closed = True

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        for number in range(20):
            assert wrapper.ask(call(number))["result"] == {"n": number}
