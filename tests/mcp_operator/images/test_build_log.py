from __future__ import annotations

import pytest
from mcp_operator.images import build_log
from mcp_operator.images.build_log import BuildLog
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason


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


@pytest.mark.requirement("B-13")
def test_a_build_that_floods_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_log, "LIMIT", 100)
    log = BuildLog()
    log.take("Step 1/2 : RUN yes\n")
    assert log.take("x" * 60)

    with pytest.raises(BuildError, match="step 1/2 : RUN yes was stopped") as caught:
        log.take("x" * 60)

    assert (caught.value.reason, caught.value.step) == (Reason.BUILD_LIMIT, Step.BUILD)


@pytest.mark.requirement("B-13")
def test_what_looks_like_layers_is_kept_within_bounds() -> None:
    log = BuildLog()
    log.take("".join(f" ---> {number:012x}\n" for number in range(5000)))

    assert len(log.layers) == build_log.LAYERS


@pytest.mark.requirement("B-12")
def test_more_lines_than_people_want_are_kept_of_the_instruction_at_work() -> None:
    log = BuildLog()
    log.take("Step 1/12 : FROM x\nold\nStep 2/12 : RUN y\n" + "".join(f"{number}\n" for number in range(100)))

    assert log.step == (2, 12)
    assert list(log.recent) == [str(number) for number in range(100)]
    assert log.tail.lines()[0] == "80"
