from __future__ import annotations

import socket
from typing import TYPE_CHECKING, cast

import pytest
from mcp_operator.images import attempt
from mcp_operator.images.attempt import Failure, Reach
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect.candidate import Hints
from mcp_operator.images.reasons import Reason
from mcp_operator.images.sandbox import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

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
