from __future__ import annotations

import tempfile
import threading
import uuid
from pathlib import Path

import pytest
from mcp_operator.commands import one_at_a_time
from mcp_operator.images.contract import BuildCancelled, BuildError

pytestmark = pytest.mark.requirement("B-23")

BOUND = 20


def test_the_second_waits_for_the_first_and_nothing_is_left() -> None:
    name = f"test-{uuid.uuid4()}"
    entered, waiting, done = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def second() -> None:
        with one_at_a_time.holding(name, threading.Event(), waiting.set):
            order.append("second")
        done.set()

    with one_at_a_time.holding(name, threading.Event(), lambda: None):
        entered.set()
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(BOUND)
        order.append("first")
    assert done.wait(BOUND)
    thread.join(BOUND)

    assert order == ["first", "second"]
    assert not list(Path(tempfile.gettempdir()).glob(f"*{name}*"))


def test_waiting_ends_with_a_cancel() -> None:
    name = f"test-{uuid.uuid4()}"
    cancelled = threading.Event()
    with (
        one_at_a_time.holding(name, threading.Event(), lambda: None),
        pytest.raises(BuildCancelled),
        one_at_a_time.holding(name, cancelled, cancelled.set),
    ):
        pass


def test_different_names_do_not_wait() -> None:
    with (
        one_at_a_time.holding(f"test-{uuid.uuid4()}", threading.Event(), lambda: None),
        one_at_a_time.holding(f"test-{uuid.uuid4()}", threading.Event(), lambda: None),
    ):
        pass


def test_a_lock_that_cannot_be_taken_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "toolman-lock-x").symlink_to(tmp_path / "elsewhere")

    with (
        pytest.raises(BuildError, match="cannot be taken") as caught,
        one_at_a_time.holding("x", threading.Event(), lambda: None),
    ):
        pass

    assert "TMPDIR" in caught.value.hint
    with one_at_a_time.unless_held("x") as held:
        assert not held
    assert not (tmp_path / "elsewhere").exists()
