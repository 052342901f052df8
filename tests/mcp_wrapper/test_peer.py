import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import ports
import pytest
from mcp_wrapper.dial import NotUsableError
from wrapper_harness import BOUND, INITIALIZE, call, handshake, serving, wrapping

from mcp_wrapper import peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wrapper_harness import Request

TOOLMAN, STRANGER = 23001, 23002
FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
SERVER = """
import os, socket, sys
os.setgid(int(sys.argv[6]))
os.setuid(int(sys.argv[6]))
family, host, port, backlog = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if sys.argv[5] == "dual":
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
listener.bind((host, port))
listener.listen(backlog)
print("listening", flush=True)
sys.stdin.readline()
answer = b'{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}'
while True:
    connection, _ = listener.accept()
    said = connection.recv(65536)
    print(len(said), flush=True)
    if said:
        head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(answer)
        connection.sendall(head + answer)
"""
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can start processes of several users")


class Listener:
    """A process of another user that listens; it accepts when told, and prints how many bytes each caller sent."""

    def __init__(self, uid: int, family: int, host: str, port: int, kind: str = "") -> None:
        command = [sys.executable, "-I", "-S", "-c", SERVER, str(int(family)), host, str(port), "8", kind, str(uid)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.stdout, self.stdin = self.process.stdout, self.process.stdin
        assert self.stdout.readline() == "listening\n"

    def accept(self) -> None:
        self.stdin.write("\n")
        self.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=BOUND)


@pytest.fixture(name="listeners")
def fixture_listeners() -> "Iterator[list[Listener]]":
    made: list[Listener] = []
    yield made
    for listener in made:
        listener.end()


def url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/mcp" if ":" in host else f"http://{host}:{port}/mcp"


@as_root
@pytest.mark.requirement("W-11")
@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_a_listener_of_the_right_user_is_spoken_to_once_it_has_accepted(
    family: int, host: str, listeners: list[Listener]
) -> None:
    port = ports.free()
    listeners.append(Listener(TOOLMAN, family, host, port))
    with wrapping("--url", url_of(host, port), MCP_TOOLMAN_UID=str(TOOLMAN)) as wrapper:
        wrapper.say(INITIALIZE)
        listeners[0].accept()
        assert "result" in wrapper.hear()


@as_root
@pytest.mark.requirement("W-11")
@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_a_listener_of_another_user_gets_not_one_byte(family: int, host: str, listeners: list[Listener]) -> None:
    port = ports.free()
    listeners.append(Listener(STRANGER, family, host, port))
    listeners[0].accept()
    environment = {"MCP_TOOLMAN_UID": str(TOOLMAN), "MCP_WRAPPER_CONNECT_TIMEOUT": "0.5"}
    with wrapping("--url", url_of(host, port), **environment) as wrapper:
        message = wrapper.ask(INITIALIZE)["error"]["message"]
        assert f"belongs to user {STRANGER}, not to toolman (user {TOOLMAN})" in message
        wrapper.end()
    assert listeners[0].stdout.readline() == "0\n"


@as_root
@pytest.mark.requirement("W-11")
def test_a_stranger_who_takes_the_port_while_toolman_restarts_gets_nothing(listeners: list[Listener]) -> None:
    port = ports.free()
    with wrapping("--url", f"http://localhost:{port}/mcp", "--debug", MCP_TOOLMAN_UID=str(os.getuid())) as wrapper:
        with serving(handshake, port):
            wrapper.open_session()
        stranger = Listener(STRANGER, socket.AF_INET, "127.0.0.1", port)
        listeners.append(stranger)
        stranger.accept()
        wrapper.say(call(1, secret="do not tell"))
        assert stranger.stdout.readline() == "0\n"
        stranger.process.kill()
        stranger.process.wait(BOUND)
        assert set(stranger.stdout.read().split()) <= {"0"}

        def ordinary(request: "Request") -> None:
            if not handshake(request):
                request.result({})

        with serving(ordinary, port):
            while "id" not in (answer := wrapper.hear()):
                pass
            assert answer["result"] == {}


@as_root
@pytest.mark.requirement("W-11")
def test_toolman_at_the_other_address_is_found_when_a_stranger_has_the_first(listeners: list[Listener]) -> None:
    port = ports.free()
    listeners += [
        Listener(STRANGER, socket.AF_INET, "127.0.0.1", port),
        Listener(TOOLMAN, socket.AF_INET6, "::1", port),
    ]
    for listener in listeners:
        listener.accept()
    with wrapping("--url", f"http://localhost:{port}/mcp", MCP_TOOLMAN_UID=str(TOOLMAN)) as wrapper:
        assert "result" in wrapper.ask(INITIALIZE)
    assert listeners[0].stdout.readline() == "0\n"


@as_root
@pytest.mark.requirement("W-11")
def test_a_socket_of_both_families_is_recognised(listeners: list[Listener]) -> None:
    port = ports.free()
    listeners.append(Listener(TOOLMAN, socket.AF_INET6, "::", port, "dual"))
    listeners[0].accept()
    with wrapping("--url", f"http://127.0.0.1:{port}/mcp", MCP_TOOLMAN_UID=str(TOOLMAN)) as wrapper:
        assert "result" in wrapper.ask(INITIALIZE)


@pytest.mark.requirement("W-11")
@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_who_accepted_counts_and_before_that_nobody_does(family: int, host: str) -> None:
    with socket.socket(family) as listener, socket.socket(family) as caller:
        listener.bind((host, 0))
        listener.listen()
        caller.connect(listener.getsockname())
        assert peer.accepted_by(caller) is None
        accepted, _ = listener.accept()
        with accepted:
            assert peer.accepted_by(caller) == os.getuid()
        with pytest.raises(NotUsableError, match="closed"):
            peer.accepted_by(caller)


def test_a_connection_that_nobody_accepts_is_given_up() -> None:
    with socket.socket() as listener, socket.socket() as caller:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        caller.connect(listener.getsockname())
        steps = peer.belongs_to(os.getuid())(caller)
        with pytest.raises(NotUsableError, match="nobody accepted"):
            assert all(isinstance(wait, float) for _, wait in steps)


def test_without_the_kernels_list_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "TABLES", ("/nowhere/tcp",))
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as caller,
        pytest.raises(NotUsableError, match="does not list"),
    ):
        peer.accepted_by(caller)
