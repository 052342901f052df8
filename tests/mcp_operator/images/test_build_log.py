from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images import build_log
from mcp_operator.images.build_log import BuildLog

if TYPE_CHECKING:
    import pytest


def test_the_instruction_at_work_its_output_and_the_layers_are_kept() -> None:
    log = BuildLog()
    shown = []
    for text in (
        "Step 1/3 : FROM x\n",
        " ---> 0123456789ab\n",
        'Step 2/3 : RUN ["a"]\n',
        " ---> Running in ffffffffffff\n",
        "one\r\ntwo\n",
        "Removing intermediate container ffffffffffff\n",
    ):
        shown += log.take(text)

    assert log.instruction == '2/3 : RUN ["a"]'
    assert log.tail.lines() == ["one", "two"]
    assert log.layers == {"0123456789ab"}
    assert shown == ["Step 1/3 : FROM x", 'Step 2/3 : RUN ["a"]', "one", "two"]


def test_a_secret_in_the_output_is_masked() -> None:
    assert "s3cret" not in str(BuildLog().take("API_TOKEN=s3cretvalue\n"))


def test_a_build_that_floods_is_not_listened_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_log, "LIMIT", 100)
    log = BuildLog()

    assert log.take("x" * 90)
    assert log.take("x" * 90) == []
