from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import package_registry
import pytest
from mcp_operator.images import pypi, sources
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, PypiSource, Step
from mcp_operator.images.detect.candidate import PythonFacts
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp_operator.images.checkout import Checkout
    from mcp_operator.settings import Settings
    from package_registry import Registry

pytestmark = pytest.mark.requirement("B-01")

NAME = "demo-server"
SOURCE = "from mcp.server.fastmcp import FastMCP\nserver = FastMCP('demo')\n"
METADATA = (
    "Metadata-Version: 2.1\nName: demo-server\nRequires-Python: >=3.10\nRequires-Dist: mcp>=1; extra == 'x'\n\nText"
)
WHEEL = package_registry.wheel(
    {
        "demo_server/__init__.py": SOURCE,
        "demo_server-1.0.dist-info/METADATA": METADATA,
        "demo_server-1.0.dist-info/entry_points.txt": "[console_scripts]\ndemo-server = demo_server:main\nX = x:y\n",
    }
)
SDIST = package_registry.tarball(
    {
        "demo_server-1.0/pyproject.toml": (
            '[build-system]\nrequires = []\n[project]\nname = "demo-server"\nversion = "1.0"\ndependencies = ["mcp"]\n'
            '[project.scripts]\ndemo-server = "demo_server:main"\n'
        ),
        "demo_server-1.0/demo_server/__init__.py": SOURCE,
    }
)


def files(version: str) -> dict[str, bytes]:
    return {f"demo_server-{version}-py3-none-any.whl": WHEEL, f"demo_server-{version}.tar.gz": SDIST}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with package_registry.serving() as running:
        yield running


@pytest.fixture
def asked(settings: Settings, registry: Registry) -> Settings:
    return dataclasses.replace(settings, pypi_index=f"{registry.url}/simple")


def fetch(settings: Settings, tmp_path: Path, *command: str, **source: str | None) -> Checkout:
    folder = tmp_path / "source"
    folder.mkdir()
    return sources.fetch(
        PypiSource(package=source.get("package", NAME) or "", version=source.get("version")),
        settings,
        folder,
        Budget(30),
        command,
    )


def fail(settings: Settings, tmp_path: Path, **source: str | None) -> BuildError:
    with pytest.raises(BuildError) as caught:
        fetch(settings, tmp_path, **source)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("kind", [".whl", ".tar.gz"])
def test_a_package_is_pinned_and_started_by_its_command(
    registry: Registry, asked: Settings, tmp_path: Path, *, as_json: bool, kind: str
) -> None:
    registry.pypi(
        NAME, {name: content for name, content in files("1.0").items() if name.endswith(kind)}, as_json=as_json
    )

    checkout = fetch(asked, tmp_path)

    assert checkout.commit == "1.0"
    assert checkout.committed.replace(microsecond=0) == datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert [path.name for path in checkout.root.iterdir()] == ["requirements.txt"]
    assert (checkout.root / "requirements.txt").read_text() == "demo-server==1.0\n"
    assert checkout.package is not None
    assert checkout.package.command == ("/app/.venv/bin/demo-server",)
    assert isinstance(checkout.package.facts, PythonFacts)
    assert checkout.package.facts.requires == (">=3.10" if kind == ".whl" else "")


def test_the_newest_release_is_taken_not_a_trial_and_not_a_withdrawn_one(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    names = ["1.9", "1.10", "1.11rc1", "2.0.dev1", "1.12"]
    published = {f"demo_server-{version}-py3-none-any.whl": WHEEL for version in names}
    registry.pypi(NAME, published, yanked="demo_server-1.12-py3-none-any.whl")

    assert fetch(asked, tmp_path).commit == "1.10"


def test_only_trials_are_better_than_nothing(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    registry.pypi(NAME, {"demo_server-1.0rc2-py3-none-any.whl": WHEEL, "demo_server-1.0rc1-py3-none-any.whl": WHEEL})

    assert fetch(asked, tmp_path).commit == "1.0rc2"


@pytest.mark.parametrize(("given", "found"), [("1.0", "1.0.0"), ("v1.0.0", "1.0.0"), ("2.0RC1", "2.0rc1")])
def test_a_version_may_be_written_as_people_do(
    registry: Registry, asked: Settings, tmp_path: Path, given: str, found: str
) -> None:
    registry.pypi(NAME, {f"demo_server-{version}-py3-none-any.whl": WHEEL for version in ("1.0.0", "2.0rc1", "3.0")})

    assert fetch(asked, tmp_path, version=given).commit == found


def test_a_withdrawn_version_is_a_warning(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    registry.pypi(NAME, {"demo_server-1.0-py3-none-any.whl": WHEEL}, yanked="demo_server-1.0-py3-none-any.whl")

    assert fetch(asked, tmp_path, version="1.0").warnings == ("the author has withdrawn this version",)


def test_wheels_that_run_anywhere_are_preferred(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    published = {
        "demo_server-1.0.tar.gz": SDIST,
        "demo_server-1.0-cp311-cp311-manylinux_2_17_x86_64.whl": WHEEL,
        "demo_server-1.0-1-py3-none-any.whl": WHEEL,
    }
    registry.pypi(NAME, published)
    fetch(asked, tmp_path)

    assert registry.asked[-1] == "/files/demo_server-1.0-1-py3-none-any.whl"


def test_files_of_other_packages_and_kinds_are_not_looked_at(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    strange = ["demo_server_evil-9.0-py3-none-any.whl", "demo_server-9.0.exe", "demo_server-9.0-py3.whl", "x.whl"]
    registry.pypi(NAME, {**dict.fromkeys(strange, b""), **files("1.0")})

    assert fetch(asked, tmp_path).commit == "1.0"


def test_an_archive_that_is_not_what_was_announced_is_refused(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    registry.pypi(NAME, files("1.0"))
    registry.documents["/files/demo_server-1.0-py3-none-any.whl"] = b"other"

    assert fail(asked, tmp_path).reason == Reason.SOURCE_UNSAFE


def test_an_archive_that_is_gone_is_said(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    registry.pypi(NAME, files("1.0"))
    del registry.documents["/files/demo_server-1.0-py3-none-any.whl"]

    assert fail(asked, tmp_path).reason == Reason.REF_NOT_FOUND


@pytest.mark.parametrize(("name", "version"), [("absent", None), (NAME, "9.9")])
def test_what_is_not_there_is_said(
    registry: Registry, asked: Settings, tmp_path: Path, name: str, version: str | None
) -> None:
    registry.pypi(NAME, files("1.0"))

    assert fail(asked, tmp_path, package=name, version=version).reason == Reason.REF_NOT_FOUND


@pytest.mark.parametrize(
    ("name", "version"), [("", None), ("../x", None), ("-r", None), ("a b", None), (NAME, ">=1"), (NAME, "1.0 --pre")]
)
def test_what_is_no_name_or_version_is_refused_before_anybody_is_asked(
    registry: Registry, asked: Settings, tmp_path: Path, name: str, version: str | None
) -> None:
    assert fail(asked, tmp_path, package=name, version=version).reason == Reason.INVALID_SOURCE
    assert registry.asked == []


@pytest.mark.parametrize("document", [b"{", b'{"files": {}}', b"{}"])
def test_an_index_that_is_none_is_an_error_of_the_fetch(
    registry: Registry, asked: Settings, tmp_path: Path, document: bytes
) -> None:
    registry.documents[f"/simple/{NAME}/"] = document

    assert fail(asked, tmp_path).reason == Reason.FETCH_FAILED


@pytest.mark.parametrize("document", [b"", b"<html><a>no link</a></html>", b'{"files": [{"x": 1}, 2]}'])
def test_an_index_without_files_is_said(registry: Registry, asked: Settings, tmp_path: Path, document: bytes) -> None:
    registry.documents[f"/simple/{NAME}/"] = document

    assert fail(asked, tmp_path).reason == Reason.REF_NOT_FOUND


def test_a_wheel_without_commands_is_started_as_a_module(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    content = package_registry.wheel(
        {
            "demo_server/__init__.py": SOURCE,
            "demo_server/__main__.py": "",
            "demo_server-1.0.dist-info/METADATA": METADATA,
            "demo_server-1.0.dist-info/entry_points.txt": "[console_scripts\nbroken",
        }
    )
    registry.pypi(NAME, {"demo_server-1.0-py3-none-any.whl": content})
    package = fetch(asked, tmp_path).package

    assert package is not None
    assert package.command == ("/app/.venv/bin/python", "-m", "demo_server")


def test_a_package_that_is_no_server_is_said_before_anything_is_built(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    content = package_registry.wheel({"x/__init__.py": "", "x-1.0.dist-info/METADATA": "Name: x\n\n"})
    registry.pypi(NAME, {"demo_server-1.0-py3-none-any.whl": content})

    error = fail(asked, tmp_path)

    assert (error.reason, error.step) == (Reason.NOT_AN_MCP_SERVER, Step.DETECT)


def test_a_wheel_without_metadata_is_no_server(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    registry.pypi(NAME, {"demo_server-1.0-py3-none-any.whl": package_registry.wheel({"x.py": ""})})

    assert fail(asked, tmp_path).step == Step.DETECT


@pytest.mark.requirement("O-01")
def test_the_newest_version_is_told_without_fetching_it(registry: Registry, asked: Settings) -> None:
    registry.pypi(NAME, {f"demo_server-{version}-py3-none-any.whl": WHEEL for version in ("1.0.0", "1.10.0", "2.0rc1")})
    assert pypi.resolve(PypiSource(package=NAME), asked, Budget(60)) == "1.10.0"
    assert not [path for path in registry.asked if path.endswith(".whl")]
    with pytest.raises(BuildError, match="is not a package and version of PyPI"):
        pypi.resolve(PypiSource(package="../x"), asked, Budget(60))
