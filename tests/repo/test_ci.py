"""``.ci/run`` on a checkout whose scripts are stand-ins: a run of the real ones would run this test too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from lab.processes import identity, poll

pytestmark = pytest.mark.requirement("F-03")

ROOT = Path(__file__).resolve().parents[2]
PASSED = 'echo "======== 12 passed in 3.21s ========"; echo "TOTAL 100%"'

LAB = """
case $1 in
status) cat running ;;
down) shift; echo "$@" > ended; : > running ;;
esac
"""


class Checkout:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        (folder / "scripts").mkdir()
        (folder / "bin").mkdir()
        shutil.copy(ROOT / ".ci/run", folder / ".ci/run")
        (folder / "running").write_text("")
        (folder / "containers").write_text("")
        self.program("bin/docker", "cat containers")
        self.program("scripts/install", "")
        self.program("scripts/check", "")
        self.program("scripts/lab", LAB)
        self.program("scripts/test", PASSED)

    def program(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def env(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}

    def run(self) -> tuple[int, list[str]]:
        command = [str(self.folder / ".ci/run")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/", env=self.env())
        return done.returncode, done.stdout.splitlines()

    def ended(self) -> str | None:
        path = self.folder / "ended"
        return path.read_text().strip() if path.exists() else None


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_last_line_counts_the_tests(checkout: Checkout) -> None:
    code, lines = checkout.run()
    assert code == 0
    assert lines[-1] == "CI: 12 passed, 0 failed, 0 skipped"


def test_the_last_line_counts_the_tests_of_all_parts(checkout: Checkout) -> None:
    checkout.program("scripts/test", "echo '=== 2 passed in 3.21s ==='; echo '=== 1 failed, 30 passed in 1.00s ==='")
    assert checkout.run()[1][-1] == "CI: 32 passed, 1 failed, 0 skipped"


def test_a_failing_test_fails_the_run(checkout: Checkout) -> None:
    checkout.program("scripts/test", 'echo "=== 2 failed, 10 passed, 1 error in 3.21s ==="; exit 1')
    code, lines = checkout.run()
    assert code == 1
    assert lines[-2:] == ["CI: the tests failed", "CI: 10 passed, 3 failed, 0 skipped"]


def test_a_skipped_test_fails_the_run(checkout: Checkout) -> None:
    checkout.program("scripts/test", 'echo "=== 12 passed, 1 skipped in 3.21s ==="')
    code, lines = checkout.run()
    assert code == 1
    assert lines[-1] == "CI: 12 passed, 0 failed, 1 skipped"


def test_a_failing_check_fails_the_run_but_the_tests_are_run(checkout: Checkout) -> None:
    checkout.program("scripts/check", "exit 1")
    code, lines = checkout.run()
    assert code == 1
    assert lines[-2:] == ["CI: the checks failed", "CI: 12 passed, 0 failed, 0 skipped"]


def test_a_lab_that_does_not_start_fails_the_run(checkout: Checkout) -> None:
    checkout.program("scripts/test", 'echo "lab: dockerd ended: no space left on device" >&2; exit 1')
    code, lines = checkout.run()
    assert code == 1
    assert "lab: dockerd ended: no space left on device" in lines
    assert "CI: no test passed" in lines


def test_only_what_the_run_started_is_ended(checkout: Checkout) -> None:
    (checkout.folder / "running").write_text("engine\n")
    checkout.program("scripts/test", f"printf 'cluster\\nregistry\\nengine\\n' > running; {PASSED}")
    code, _ = checkout.run()
    assert code == 0
    assert checkout.ended() == "cluster registry"


def test_a_lab_that_was_there_stays(checkout: Checkout) -> None:
    (checkout.folder / "running").write_text("cluster\nregistry\nengine\n")
    code, _ = checkout.run()
    assert code == 0
    assert checkout.ended() is None


def test_a_container_that_was_left_fails_the_run(checkout: Checkout) -> None:
    (checkout.folder / "containers").write_text("aaa\n")
    checkout.program("scripts/test", f"echo bbb >> containers; {PASSED}")
    code, lines = checkout.run()
    assert code == 1
    assert "CI: containers were left: bbb " in lines


def test_an_interrupted_run_ends_its_tests_and_what_it_started(checkout: Checkout) -> None:
    checkout.program("scripts/test", "echo engine > running; echo $$ > started; sleep 300")
    with subprocess.Popen([checkout.folder / ".ci/run"], stdout=subprocess.PIPE, text=True, env=checkout.env()) as run:
        assert poll((checkout.folder / "started").exists, 30)
        run.terminate()
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "CI: interrupted" in output
    assert "a process was left" not in output
    assert checkout.ended() == "engine"


def test_a_process_that_was_left_is_ended_and_fails_the_run_however_it_detached(checkout: Checkout) -> None:
    checkout.program("scripts/test", f"(setsid sleep 300 >/dev/null 2>&1 & echo $! > left); {PASSED}")
    code, lines = checkout.run()
    pid = (checkout.folder / "left").read_text().strip()
    assert code == 1
    assert f"CI: a process was left: {pid} sleep 300 " in lines
    assert poll(lambda: identity(int(pid)) is None, 10)
