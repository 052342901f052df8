from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from lab.errors import LabError
from lab.processes import Processes, end, identity, poll, using

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEPER = (sys.executable, "-c", "import signal, sys; print('up', flush=True); signal.pause()")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()",
)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    part = Processes(tmp_path)
    yield part
    part.stop(*part.names(), seconds=0.2)


def is_up(part: Processes, name: str) -> bool:
    return part.last_line(name) == "up"


def test_a_program_is_started_once_and_ended_by_its_name(processes: Processes) -> None:
    assert processes.start("sleeper", *SLEEPER)
    processes.wait("sleeper", lambda: is_up(processes, "sleeper"), 20)
    pid = processes.pid("sleeper")
    assert pid is not None
    assert not processes.start("sleeper", *SLEEPER)
    assert processes.names() == ["sleeper"]
    processes.stop("sleeper", seconds=10)
    assert processes.pid("sleeper") is None
    assert identity(pid) is None
    assert list(processes.pids.iterdir()) == []


def test_a_program_that_ignores_the_request_is_killed(processes: Processes, capsys: pytest.CaptureFixture[str]) -> None:
    processes.start("stubborn", *STUBBORN)
    processes.wait("stubborn", lambda: is_up(processes, "stubborn"), 20)
    processes.stop("stubborn", seconds=0.2)
    assert processes.names() == []
    assert "stubborn had to be killed" in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["start time", "boot"])
def test_a_stranger_who_got_the_number_of_a_process_is_left_alone(processes: Processes, changed: str) -> None:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"up\n"
        started, boot = str(identity(stranger.pid)).split()
        known = f"{int(started) - 1} {boot}" if changed == "start time" else f"{started} another-boot"
        processes.pids.mkdir(parents=True)
        (processes.pids / "sleeper.pid").write_text(f"{stranger.pid} {known}\n")
        assert processes.pid("sleeper") is None
        processes.stop("sleeper", seconds=0.2)
        assert stranger.poll() is None
        stranger.terminate()


@pytest.mark.parametrize("content", ["", "12\n", "\n"])
def test_a_pid_file_that_was_cut_off_names_no_process(processes: Processes, content: str) -> None:
    processes.pids.mkdir(parents=True)
    (processes.pids / "half.pid").write_text(content)
    assert processes.pid("half") is None


def test_a_program_that_ends_at_once_is_told_with_the_last_line_of_its_log(processes: Processes) -> None:
    processes.start("broken", sys.executable, "-c", "raise SystemExit('port 6443 is taken')")
    with pytest.raises(LabError, match=r"broken ended: port 6443 is taken \(log: .*/broken\.log\)"):
        processes.wait("broken", lambda: False, 20)


def test_a_program_that_does_not_get_ready_is_told_and_goes_on(processes: Processes) -> None:
    processes.start("sleeper", *SLEEPER)
    with pytest.raises(LabError, match="sleeper is not ready"):
        processes.wait("sleeper", lambda: False, 0.2)
    assert processes.names() == ["sleeper"]


def test_our_own_process_has_an_identity_and_an_impossible_one_has_not() -> None:
    assert identity(os.getpid())
    assert identity(2**31 - 1) is None


def test_only_the_named_programs_that_use_a_folder_are_found_and_ended(tmp_path: Path) -> None:
    program = tmp_path / "daemon"
    program.symlink_to(sys.executable)
    arguments = ("-c", SLEEPER[2])
    inside = subprocess.Popen([str(program), *arguments, f"--socket={tmp_path}/a/socket"], stdout=subprocess.PIPE)
    outside = subprocess.Popen([str(program), *arguments, f"--socket={tmp_path}/ab/socket"], stdout=subprocess.PIPE)
    reader = subprocess.Popen([*SLEEPER, f"{tmp_path}/a/log"], stdout=subprocess.PIPE)
    with inside, outside, reader:
        for process in (inside, outside, reader):
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
        assert using(tmp_path / "a", ["daemon"]) == [inside.pid]
        end(tmp_path / "a", ["daemon"], 0.2)
        assert inside.wait(10) == -9
        assert outside.poll() is None
        assert reader.poll() is None
        outside.terminate()
        reader.terminate()


def test_polling_gives_the_last_answer() -> None:
    answers = iter([False, True])
    assert poll(lambda: next(answers), 10)
    assert not poll(lambda: False, 0)
