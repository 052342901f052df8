import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from wrapper_harness import BOUND, SOURCE


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.requirement("F-01")
def test_the_folder_runs_with_the_standard_library_alone() -> None:
    result = run(str(SOURCE), "--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, "mcp-wrapper 0.1.0\n", "")


@pytest.mark.requirement("F-01")
def test_no_module_but_the_standard_librarys_is_imported() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r})\n"
        "import mcp_wrapper.run, mcp_wrapper.installer, mcp_wrapper.settings\n"
        "own = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(own - {'__main__'}))"
    )
    assert run("-c", program).stdout == "['mcp_wrapper']\n"


HEAVY = (
    "asyncio collections email enum functools http json logging pathlib re selectors signal socket ssl typing urllib"
)


@pytest.mark.requirement("W-09")
def test_the_bridge_starts_without_what_costs_time_and_memory() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r})\n"
        "import mcp_wrapper.__main__, mcp_wrapper.run\n"
        f"print(sorted(set({HEAVY.split()!r}) & set(sys.modules)))"
    )
    assert run("-c", program).stdout == "[]\n"


@pytest.mark.requirement("F-01")
def test_a_zip_file_of_the_package_runs(tmp_path: Path) -> None:
    archive = tmp_path / "wrapper.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in SOURCE.glob("*.py"):
            file.write(path, f"mcp_wrapper/{path.name}")
        file.writestr("__main__.py", "from mcp_wrapper.__main__ import main\nmain()\n")
    assert run(str(archive), "--version").stdout == "mcp-wrapper 0.1.0\n"


def test_no_module_hides_one_of_the_standard_librarys() -> None:
    names = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert names & sys.stdlib_module_names == set()


@pytest.mark.requirement("W-05")
@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["--nonsense"], {}),
        (["--url", "https://toolman.example.com/mcp"], {"SSL_CERT_FILE": "/nowhere/authorities.pem"}),
        (["--url", "https://toolman.example.com/mcp"], {"SSL_CERT_FILE": str(SOURCE / "__init__.py")}),
        ([], {"MCP_TOOLMAN_UID": "toolman"}),
        (["--url", "http://toolman.example.com/mcp"], {"MCP_TOOLMAN_UID": "1000"}),
        ([], {"MCP_WRAPPER_TIMEOUT": "soon"}),
        ([], {"MCP_TOOLMAN_SERVER_URL": "http://"}),
        (["install"], {}),
    ],
)
def test_a_wrong_value_is_one_line_and_status_2(words: list[str], environment: dict[str, str]) -> None:
    result = run(str(SOURCE), *words, **environment)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_installing_without_the_image_is_one_line_and_status_1(tmp_path: Path) -> None:
    result = run(str(SOURCE), "install", str(tmp_path))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)


def test_help_is_printed() -> None:
    assert "usage: mcp-wrapper" in run(str(SOURCE), "--help").stdout
