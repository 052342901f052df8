"""The demo runs programs in the lab's environment, and says in one line why one failed."""

from __future__ import annotations

import sys

import pytest

from demo.console import DemoError
from demo.programs import Programs

pytestmark = pytest.mark.requirement("F-02")


def test_it_adopts_what_a_shell_would_export() -> None:
    programs = Programs({"PATH": "/bin", "KUBECONFIG": "/a/persons/own"})
    programs.adopt("# a remark\nexport TOOLMAN_KUBECONFIG='/a b/config'\nexport PATH=\"$PATH\":/lab/bin\n")
    assert programs.environ["PATH"] == "/bin:/lab/bin"
    assert programs.environ["KUBECONFIG"] == "/a b/config"


def test_a_failure_is_one_line_with_the_end_of_the_output_as_details() -> None:
    script = "import sys; print('\\n'.join(map(str, range(99))), file=sys.stderr); sys.exit(3)"
    with pytest.raises(DemoError, match=r"^python\S* -c .*failed \(3\)$") as caught:
        Programs().run(sys.executable, "-c", script)
    assert caught.value.details.splitlines()[-1] == "98"
    assert len(caught.value.details.splitlines()) == 15


def test_a_missing_program_and_a_hanging_one_are_failures_with_a_reason() -> None:
    programs = Programs()
    assert programs.attempt("no-such-program").returncode == 127
    assert programs.attempt(sys.executable, "-c", "input()", data="", seconds=30).returncode == 1
    hanging = programs.attempt(sys.executable, "-c", "import time; time.sleep(60)", seconds=0.1)
    assert (hanging.returncode, "not done" in hanging.stderr) == (124, True)
    with pytest.raises(DemoError, match="is missing"):
        programs.show("no-such-program", seconds=1)


def test_the_progress_of_a_long_program_is_passed_on_line_by_line() -> None:
    heard: list[str] = []
    script = "import sys; print('result'); print('one\\ntwo', file=sys.stderr)"
    assert Programs().follow(sys.executable, "-c", script, hear=heard.append, seconds=30) == "result\n"
    assert heard == ["one", "two"]
    with pytest.raises(DemoError, match=r"failed \(3\)"):
        Programs().follow(sys.executable, "-c", "raise SystemExit(3)", hear=heard.append, seconds=30)
    with pytest.raises(DemoError, match=r"failed \(-9\)"):
        Programs().follow(sys.executable, "-c", "import time; time.sleep(60)", hear=heard.append, seconds=0.1)
