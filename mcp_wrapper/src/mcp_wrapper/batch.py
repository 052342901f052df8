"""Several messages in one line, as revision 2025-03-26 had it: sent one by one, answered in one line."""

from __future__ import annotations

from mcp_wrapper import jsonrpc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.spool import Raw

VERSIONS = frozenset(("2024-11-05", "2025-03-26"))
"""The revisions that have batches, or do not say that they have none."""


def read(raw: Raw, version: str) -> tuple[list[jsonrpc.Message], list[bytes]]:
    """Read the messages of a line.

    Args:
        raw: The line.
        version: That the agent and toolman agreed on; empty before they did.

    Returns:
        The messages, and the answers to what is none.

    Raises:
        MessageError: There can be no batch, or it is none.
    """
    parts = jsonrpc.batch(raw)
    if version not in VERSIONS:
        text = f"batches are not part of revision {version}" if version else "a batch must not come before initialize"
        raise jsonrpc.MessageError(jsonrpc.INVALID_REQUEST, f"{text}: send one message a line")
    if not parts:
        raise jsonrpc.MessageError(jsonrpc.INVALID_REQUEST, "a batch must hold a message")
    messages, answers = [], []
    for part in parts:
        try:
            message = jsonrpc.parse(part)
        except jsonrpc.MessageError as error:
            answers.append(jsonrpc.error("null", error.code, str(error)))
            continue
        if message.method == "initialize" and message.kind == jsonrpc.REQUEST:
            text = "initialize must not be part of a batch"
            answers.append(jsonrpc.error(message.key, jsonrpc.INVALID_REQUEST, text))
        else:
            messages.append(message)
    return messages, answers


class Batch:
    """Collects the answers to the requests of one line.

    Args:
        requests: How many there are.
        answers: What can be said already.
    """

    __slots__ = ("_answers", "_bridge", "_expected")

    def __init__(self, bridge: Bridge, requests: int, answers: list[bytes]) -> None:
        self._bridge = bridge
        self._expected = requests
        self._answers: list[Raw] = list(answers)
        if not requests:
            self._write()

    def answered(self, line: Raw | None) -> None:
        """Take an answer; None for a request that was cancelled. With the last one, the agent gets them all."""
        self._expected -= 1
        if line is not None:
            self._answers.append(line)
        if not self._expected:
            self._write()

    def _write(self) -> None:
        if self._answers:
            self._bridge.to_agent(b"[%b]" % b",".join(self._answers))
