import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wrapper_harness import BOUND, INITIALIZE, SOURCE, Request, call, handshake, serving, wrapping


def silent(request: Request) -> None:
    handshake(request)


@pytest.mark.requirement("W-06")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_calls_in_flight_answered(number: signal.Signals) -> None:
    with serving(silent) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(call(1))
        server.wait_for("tools/call")
        wrapper.process.send_signal(number)
        assert wrapper.wait() == 0
        assert "told to stop" in wrapper.hear()["error"]["message"]
        assert server.asked()[-1] == "DELETE"
        assert wrapper.log == ""


@pytest.mark.requirement("W-06")
def test_a_closed_stdout_ends_it_even_while_nothing_is_to_be_said() -> None:
    with serving(silent) as server:
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SOURCE), "--url", server.url],
            stdin=subprocess.PIPE,
            stdout=writer,
            stderr=subprocess.PIPE,
        )
        os.close(writer)
        os.close(reader)
        try:
            assert process.wait(BOUND) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b""
        finally:
            process.kill()
            process.communicate()


def test_a_server_that_says_nothing_to_the_farewell_delays_nobody() -> None:
    def reply(request: Request) -> None:
        if request.verb != "DELETE":
            handshake(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        server.wait_for("GET")
        wrapper.end()
        assert wrapper.process.returncode == 0
        server.wait_for("DELETE")


@pytest.mark.requirement("W-06", "F-01")
def test_calls_in_flight_may_finish_when_stdin_ends() -> None:
    held: list[Request] = []

    def reply(request: Request) -> None:
        if not handshake(request):
            held.append(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(call(1), call(2))
        server.wait_for("tools/call", 2)
        wrapper.stdin.close()
        for request in held:
            request.result({})
        assert sorted(message["id"] for message in wrapper.end()) == [1, 2]
        assert server.asked()[-1] == "DELETE"


@pytest.mark.requirement("W-06")
def test_a_call_that_never_ends_is_answered_with_an_error_when_stdin_ended() -> None:
    with serving(silent) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(call(1))
        server.wait_for("tools/call")
        assert [message["error"]["code"] for message in wrapper.end()] == [-32000]
        assert wrapper.process.returncode == 0


def test_input_and_output_may_be_files(tmp_path: Path) -> None:
    asked, answered = tmp_path / "in", tmp_path / "out"
    asked.write_text('{"jsonrpc":"2.0","id":5,"method":"initialize","params":{}}\n')
    with serving(handshake) as server, asked.open() as stdin, answered.open("w") as stdout:
        command = [sys.executable, "-I", "-S", str(SOURCE), "--url", server.url]
        subprocess.run(command, stdin=stdin, stdout=stdout, check=True, timeout=BOUND)
    assert '"id": 5' in answered.read_text()


@pytest.mark.requirement("W-05")
def test_a_token_is_sent_and_a_missing_one_is_said_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret\n")
    with serving(silent) as server, wrapping("--url", server.url, MCP_WRAPPER_TOKEN_FILE=str(path)) as wrapper:
        wrapper.open_session()
        assert server.wait_for("initialize").header("Authorization") == "Bearer secret"
        path.unlink()
        wrapper.say({"jsonrpc": "2.0", "method": "notifications/x"})
        assert server.wait_for("notifications/x").header("Authorization") is None
        wrapper.end()
        assert "No such file" in wrapper.log
        assert "secret" not in wrapper.log


def test_debugging_tells_of_messages_without_their_contents() -> None:
    with serving(silent) as server, wrapping("--url", server.url, "--debug") as wrapper:
        wrapper.ask(INITIALIZE)
        wrapper.end()
        assert "request initialize 0" in wrapper.log
        assert "clientInfo" not in wrapper.log


@pytest.mark.requirement("W-06")
@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_process_without_stdin_or_stdout_says_so(closed: str) -> None:
    command = ["/bin/sh", "-c", f'exec "$0" -I -S "$1" {closed}', sys.executable, str(SOURCE)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=BOUND, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"must be open" in done.stderr
