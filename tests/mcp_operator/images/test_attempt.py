from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest
from mcp_operator.images import attempt, diagnosis, http_probe
from mcp_operator.images.attempt import Failure, Reach
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect.candidate import Hints
from mcp_operator.images.handshake import Manifest, NoToolsError
from mcp_operator.images.http_probe import Found
from mcp_operator.images.reasons import Reason
from mcp_operator.images.relay import Address, Relay
from mcp_operator.images.sandbox import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.engine import Engine


class Refusing:
    """An engine that does not start a container, in the words of the real one."""

    def __init__(self, words: str) -> None:
        self._words = words
        self.removed: list[str] = []

    def create(self, _image: str, _limits: Limits, _owner: Mapping[str, str]) -> str:
        return "c"

    def attach(self, _container: str) -> socket.socket:
        return socket.socket()

    def start(self, _container: str) -> None:
        raise BuildError(Reason.ENGINE_FAILED, self._words, step=Step.VERIFY)

    def remove_container(self, container: str) -> None:
        self.removed.append(container)


def make(engine: Refusing) -> object:
    return attempt.make(cast("Engine", engine), "i", Limits(), Reach("i", Hints(), {}), "legacy", Budget(60))


@pytest.mark.requirement("B-12")
def test_a_start_command_that_cannot_be_run_is_a_failed_start_and_no_fault_of_the_engine() -> None:
    engine = Refusing('runc create failed: exec: "nothere": executable file not found in $PATH: unknown')

    failure = make(engine)

    assert isinstance(failure, Failure)
    assert failure.message == ('the start command cannot be run: exec: "nothere": executable file not found in $PATH')
    assert failure.code == attempt.NOT_FOUND
    assert engine.removed == ["c"]


def test_any_other_trouble_with_the_engine_is_told_as_it_is() -> None:
    with pytest.raises(BuildError, match="no space left"):
        make(Refusing("no space left on device"))


class Serving:
    """An engine with one container, whose server announces HTTP and answers over stdio when it is told to."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self._ours, theirs = socket.socketpair()
        self._server = theirs
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def create(self, _image: str, _limits: Limits, _owner: Mapping[str, str]) -> str:
        return "c"

    def attach(self, _container: str) -> socket.socket:
        return self._ours

    def start(self, _container: str) -> None:
        self._thread.start()

    def remove_container(self, _container: str) -> None:
        self.answer.set()
        self._thread.join(10)
        self._server.close()

    def _say(self, stream: int, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            self._server.sendall(struct.pack(">BxxxL", stream, len(text)) + text.encode())

    def _serve(self) -> None:
        self._say(2, "listening on http://localhost:3000/mcp\n")
        self._say(1, "a line for people\n")
        self.answer.wait(60)
        info = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        self._say(1, json.dumps({"jsonrpc": "2.0", "id": 1, "result": info}) + "\n")


def serve(engine: Serving, monkeypatch: pytest.MonkeyPatch, find: Callable[[Budget], Found], hints: Hints) -> object:
    """Start a server beside which HTTP is tried in this way."""

    def listening(_relay: object, _budget: Budget) -> list[Address]:
        return [Address("127.0.0.1", 3000)]

    def found(_dial: object, _port: int, _paths: object, budget: Budget) -> Found:
        return find(budget)

    monkeypatch.setattr(Relay, "listening", listening)
    monkeypatch.setattr(http_probe, "find", found)
    return attempt.make(cast("Engine", engine), "i", Limits(), Reach("i", hints, {}), "legacy", Budget(60))


OVER_HTTP = Found(Manifest(protocol="2025-06-18", server="h", tools=(), noise=0), "streamable-http", "/mcp")


@pytest.mark.requirement("B-15")
@pytest.mark.parametrize("hints", [Hints(), Hints(transport="streamable-http", port=3000)])
def test_http_is_tried_as_soon_as_a_server_speaks_of_it(monkeypatch: pytest.MonkeyPatch, hints: Hints) -> None:
    monkeypatch.setattr(attempt, "GRACE", 0.0)

    spoken = serve(Serving(), monkeypatch, lambda _budget: OVER_HTTP, hints)

    assert isinstance(spoken, attempt.Spoken)
    assert (spoken.manifest.server, spoken.transport, spoken.port, spoken.path) == (
        "h",
        "streamable-http",
        3000,
        "/mcp",
    )


@pytest.mark.requirement("B-15")
def test_a_server_that_refuses_its_tools_over_http_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_budget: Budget) -> Found:
        raise NoToolsError("the server answers tools/list with an error: no token")

    began = time.monotonic()
    failure = serve(Serving(), monkeypatch, refuses, Hints())

    assert isinstance(failure, Failure)
    assert failure.code == diagnosis.ANSWERED
    assert failure.message == "over HTTP, the server answers tools/list with an error: no token"
    assert time.monotonic() - began < attempt.SECONDS / 2


def test_an_answer_on_stdio_within_the_grace_goes_before_one_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Serving()
    monkeypatch.setattr(attempt, "GRACE", 60.0)

    def find(_budget: Budget) -> Found:
        engine.answer.set()
        return OVER_HTTP

    spoken = serve(engine, monkeypatch, find, Hints())

    assert isinstance(spoken, attempt.Spoken)
    assert (spoken.manifest.server, spoken.transport) == ("s 1", "stdio")


@pytest.mark.requirement("B-15")
def test_an_answer_on_stdio_ends_what_is_tried_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Serving()

    def find(budget: Budget) -> Found:
        engine.answer.set()
        while True:  # a port that takes its time
            budget.check(Step.VERIFY)

    spoken = serve(engine, monkeypatch, find, Hints())

    assert isinstance(spoken, attempt.Spoken)
    assert spoken.transport == "stdio"
