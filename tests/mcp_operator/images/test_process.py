from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from pathlib import Path

import pytest
from mcp_operator.images import process
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, Step

ENV = {"PATH": os.environ["PATH"]}


def python(code: str, budget: Budget | None = None) -> process.Finished:
    return process.run(
        [sys.executable, "-c", code],
        env=ENV,
        cwd=Path("/"),
        budget=budget or Budget(60),
        step=Step.FETCH,
    )


def test_both_outputs_and_the_exit_code_are_given() -> None:
    finished = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")

    assert (finished.code, finished.stdout, finished.stderr) == (3, b"out\n", "err\n")


def test_nothing_of_our_environment_reaches_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")

    assert b"SECRET" not in python("import os; print(dict(os.environ))").stdout


@pytest.mark.requirement("F-08")
def test_a_program_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import pathlib, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )

    with pytest.raises(BuildError, match="time limit"):
        python(code, Budget(2))

    with contextlib.suppress(ProcessLookupError):  # gone already
        child = os.pidfd_open(int(note.read_text()))
        ended, _, _ = select.select([child], [], [], 10)
        os.close(child)
        assert ended


def test_a_cancel_stops_a_program() -> None:
    cancelled = threading.Event()
    cancelled.set()

    with pytest.raises(BuildCancelled):
        python("import time; time.sleep(600)", Budget(60, cancelled))


def test_a_program_that_floods_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "OUTPUT_LIMIT", 100_000)

    with pytest.raises(process.OutputLimitError):
        python("while True: print('x' * 1000)")


def test_what_a_watcher_raises_stops_the_program() -> None:
    def refuse() -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        process.run(
            [sys.executable, "-c", "import time; time.sleep(600)"],
            env=ENV,
            cwd=Path("/"),
            budget=Budget(60),
            step=Step.FETCH,
            bounds=process.Bounds(watch=refuse),
        )


@pytest.mark.requirement("B-13")
def test_a_program_gets_no_more_memory_than_it_may_have_and_what_it_starts_neither() -> None:
    greedy = "bytearray(1 << 28)"
    code = f"import subprocess, sys, time; time.sleep(0.2); subprocess.run([sys.executable, '-c', '{greedy}'])"

    finished = process.run(
        [sys.executable, "-c", code],
        env=ENV,
        cwd=Path("/"),
        budget=Budget(60),
        step=Step.FETCH,
        bounds=process.Bounds(memory=1 << 27),
    )

    assert "MemoryError" in finished.stderr
