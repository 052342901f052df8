from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from command_line import PROJECT, SERVER
from mcp_operator import names
from mcp_operator.images import plan, stages
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, BuildRequest, DirectorySource, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.sandbox import Interpreter
from mcp_operator.images.stored import Image
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.images.plan import Plan

pytestmark = pytest.mark.requirement("B-02", "B-14")

SETTINGS = Settings(registry="", image_toolman="", image_wrapper="")
DOCKERFILE = 'FROM {base}\nCOPY server.py /\nENTRYPOINT ["python3", "/server.py"]\n'


NODE = {"name": "x", "main": "a.js", "dependencies": {"fastmcp": "1"}}


class Bases:
    """Base images that can be had, all but some."""

    def __init__(self, *absent: str, version: str = "3.12.4", fault: str = Reason.BASE_IMAGE_UNAVAILABLE) -> None:
        self.absent = absent
        self.version = version
        self.fault = fault
        self.asked: list[str] = []
        self.replaceable: list[str] = []

    def find(self, name: str, *, replaceable: bool = False) -> str:
        self.asked.append(name)
        self.replaceable += [name] if replaceable else []
        if name in self.absent:
            raise BuildError(self.fault, f"{name} cannot be had", step=Step.BUILD)
        return f"sha256:{name}"

    def pin(self, name: str) -> stages.Pin:
        return stages.Pin(id=self.find(name), name=name)

    def python(self, name: str) -> Interpreter:
        del name
        return Interpreter(path="/usr/local/bin/python3", version=self.version)


class Heard:
    """Progress that keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, step: Step, detail: str) -> None:
        pass

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "demo"
    made.mkdir()
    (made / "server.py").write_text(SERVER)
    (made / "pyproject.toml").write_text(PROJECT)
    return made


def planned(folder: Path, bases: Bases, heard: Heard | None = None, **more: object) -> Plan:
    fields = {
        "source": DirectorySource(directory=str(folder)),
        "repository": "r",
        "deployment_id": "ns-demo-1",
        "uid": "uid-1",
    }
    request = BuildRequest(**{**fields, **more})  # type: ignore[arg-type]  # each test names real fields
    return plan.make(request, SETTINGS, folder.parent / "copy", bases, heard or Heard(), Budget(60))


def test_a_plan_says_what_it_starts_from_and_what_it_is_called(folder: Path) -> None:
    made = planned(folder, Bases())

    assert made.bases == {SETTINGS.base_python: f"sha256:{SETTINGS.base_python}"}
    assert made.version == "1.2.3+build"
    assert f"base image {SETTINGS.base_python}" in made.evidence
    assert 'toolman.dev/deployment-id="ns-demo-1"' in made.dockerfile
    assert 'org.opencontainers.image.version="1.2.3+build"' in made.dockerfile


def test_a_version_that_the_usual_base_image_has_not_is_looked_for_among_the_others(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(f'{PROJECT}requires-python = ">=3.13"\n')

    made = planned(folder, Bases(version="3.13.1"))

    assert list(made.bases) == ["python:3.13-slim"]


def test_where_the_better_base_image_cannot_be_had_the_usual_one_is_tried(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(f'{PROJECT}requires-python = ">=3.13"\n')
    heard = Heard()

    with pytest.raises(BuildError) as caught:
        planned(folder, Bases("python:3.13-slim"), heard)

    assert caught.value.reason == Reason.RUNTIME_VERSION
    assert f"python:3.13-slim cannot be had; {SETTINGS.base_python} is used instead" in heard.lines


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize(("runtime", "waits"), [("node", False), ("python", True)])
def test_nobody_waits_for_a_base_image_that_is_only_a_wish(folder: Path, runtime: str, *, waits: bool) -> None:
    (folder / "package.json").write_text(json.dumps({**NODE, "engines": {"node": ">=24"}}))
    (folder / "a.js").write_text("import 'fastmcp'")
    (folder / "pyproject.toml").write_text(f'{PROJECT}requires-python = ">=3.13"\n')
    bases = Bases(version="3.13.1")

    planned(folder, bases, runtime=runtime)

    assert bases.asked == (["python:3.13-slim"] if waits else ["node:24-slim"])
    assert (bases.replaceable == []) is waits


def test_an_engine_that_is_gone_is_no_missing_base_image(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(f'{PROJECT}requires-python = ">=3.13"\n')

    with pytest.raises(BuildError) as caught:
        planned(folder, Bases("python:3.13-slim", fault=Reason.ENGINE_UNAVAILABLE))

    assert caught.value.reason == Reason.ENGINE_UNAVAILABLE


def test_a_dockerfile_of_ones_own_says_itself_what_it_starts_from(folder: Path) -> None:
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base="python:3.9"))
    bases = Bases()

    made = planned(folder, bases, runtime="dockerfile")

    assert len(made.bases) == len(bases.asked) == 1
    assert next(iter(made.bases)).endswith("python:3.9")


def test_packages_of_the_system_are_added_to_those_that_were_found_to_be_needed(folder: Path) -> None:
    assert " libpq5 " in planned(folder, Bases(), system_packages=("libpq5",)).dockerfile


@pytest.mark.requirement("B-02")
def test_packages_of_the_system_that_a_dockerfile_of_ones_own_does_not_get_are_a_warning(folder: Path) -> None:
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base="python:3.9"))
    heard = Heard()

    made = planned(folder, Bases(), heard, runtime="dockerfile", system_packages=("libpq5",))

    assert ["spec.build.systemPackages has no effect" in line for line in made.checkout.warnings] == [True]
    assert made.checkout.warnings[0] in heard.lines


def test_a_folder_that_is_not_in_the_source_is_said(folder: Path) -> None:
    with pytest.raises(BuildError, match="no folder other") as caught:
        planned(folder, Bases(), source=DirectorySource(directory=str(folder), path="other"))

    assert caught.value.reason == Reason.PATH_NOT_FOUND


@pytest.mark.parametrize(
    ("files", "version"),
    [
        (
            {"pyproject.toml": '[tool.poetry]\nname = "x"\nversion = "2.0"\n[tool.poetry.dependencies]\nmcp = "*"\n'},
            "2.0",
        ),
        ({"pyproject.toml": '[project]\nname = "x"\nversion = "latest please"\ndependencies = []\n'}, ""),
        ({"package.json": json.dumps({"version": 1})}, "1.2.3+build"),
    ],
)
def test_the_version_is_that_of_the_manifest_where_it_is_one(folder: Path, files: dict[str, str], version: str) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)

    assert planned(folder, Bases(), runtime="python", command=("python", "server.py")).version == version


@pytest.mark.requirement("B-13")
def test_a_name_of_a_base_image_that_a_build_has_taken_is_no_base_image() -> None:
    class Poisoned:
        def base(self, _name: str, *_: object, **__: object) -> Image:
            return Image(id="sha256:evil", size=1, labels={names.LABEL_UID: "thief"})

    pulled = plan.Pulled(cast("Any", Poisoned()), {names.LABEL_UID: "me"}, Heard(), Budget(60))

    with pytest.raises(BuildError, match="that a build of a server made") as caught:
        pulled.find("python:3.12-slim")
    assert caught.value.reason == Reason.BASE_IMAGE_UNAVAILABLE
