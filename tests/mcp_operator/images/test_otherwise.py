from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from mcp_operator.images import dockerfile, otherwise
from mcp_operator.images.build_log import BuildLog
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError
from mcp_operator.images.engine_errors import BuildFailedError
from mcp_operator.images.plan import Plan
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes.node_managers import UNBUILT
from mcp_operator.images.recipes.recipe import IT, Mend, Recipe, Run, Stage

if TYPE_CHECKING:
    from pathlib import Path

MEND = Mend("gone: (?P<it>[a-z]+)", (("npm", "update", IT),), f"{IT} is gone.")
INSTALL = Run(("npm", "ci"), otherwise=(MEND, Run(("npm", "install"), why=("The lock cannot be followed.",))))


class Docker:
    """Fails at the commands that it is told of, and says what it is told to."""

    def __init__(self, fails: dict[str, list[str]]) -> None:
        self.fails = fails
        self.built: list[list[str]] = []
        self.log = BuildLog()

    def build(self, plan: Plan) -> str:
        lines = [line for line in plan.dockerfile.splitlines() if line and not line.startswith("#")]
        self.built.append([line.removeprefix("RUN ") for line in lines if line.startswith("RUN npm")])
        for number, line in enumerate(lines, 1):
            self.log.take(f"Step {number}/{len(lines)} : {line}\n")
            if said := self.fails.get(line.removeprefix("RUN ")):
                self.log.take(f"{said.pop(0)}\n")
                raise BuildFailedError("returned a non-zero code: 1")
        return "image"


def plan(tmp_path: Path, *steps: Run) -> Plan:
    recipe = Recipe(
        language="node", stages=(Stage(base="b", steps=steps),), base="b", working_dir="/app", command=("x",)
    )
    render = functools.partial(dockerfile.render, owner={}, labels={}, ca=False)
    checkout = Checkout(commit="", root=tmp_path, committed=datetime(2026, 1, 1, tzinfo=UTC))
    candidate = cast("Any", None)
    return Plan(checkout=checkout, candidate=candidate, dockerfile=render(recipe), recipe=recipe, render=render)


def build(docker: Docker, first: Plan) -> tuple[Plan, list[str]]:
    warnings: list[str] = []
    found, image = otherwise.build(first, docker.build, docker.log, warnings.append)
    assert image == "image"
    return found, warnings


def test_what_does_not_fail_is_built_once_and_as_planned(tmp_path: Path) -> None:
    docker = Docker({})
    first = plan(tmp_path, INSTALL)

    assert build(docker, first) == (first, [])
    assert docker.built == [["npm ci"]]


@pytest.mark.requirement("B-02", "B-04")
def test_each_way_is_a_dockerfile_of_its_own_and_a_warning(tmp_path: Path) -> None:
    docker = Docker({"npm ci": ["gone: a", "gone: b", "something else"]})

    found, warnings = build(docker, plan(tmp_path, INSTALL))

    assert docker.built == [
        ["npm ci"],
        ["npm update a", "npm ci"],
        ["npm update a", "npm update b", "npm ci"],
        ["npm install"],
    ]
    assert "\n# The lock cannot be followed.\nRUN npm install\n" in found.dockerfile
    assert [warning.partition(" : ")[2] for warning in warnings] == [
        "RUN npm ci failed and was done otherwise: a is gone.",
        "RUN npm ci failed and was done otherwise: b is gone.",
        "RUN npm ci failed and was done otherwise: The lock cannot be followed.",
    ]


@pytest.mark.requirement("B-12")
def test_a_failure_is_explained_by_what_all_ways_of_its_step_said_and_by_no_other_step(tmp_path: Path) -> None:
    docker = Docker({"npm ci": ["npm ci can only install packages when"], "npm install": ["npm error: bad luck"]})
    with pytest.raises(BuildError) as caught:
        build(docker, plan(tmp_path, INSTALL))
    assert caught.value.reason == Reason.DEPENDENCY_FAILED
    assert "npm install failed" in caught.value.message

    docker = Docker({"npm ci": ["npm ci can only install packages when"], "npm run build": ["error TS2322: no"]})
    with pytest.raises(BuildError) as caught:
        build(docker, plan(tmp_path, INSTALL, Run(("npm", "run", "build"))))
    assert caught.value.reason == Reason.COMPILE_FAILED


@pytest.mark.requirement("B-12")
def test_why_a_step_was_left_out_is_kept_for_the_case_that_the_server_does_not_start(tmp_path: Path) -> None:
    rebuild = Run(("npm", "rebuild"), otherwise=(Run(("npm", "rebuild", "x"), why=("Again.",)), UNBUILT))
    docker = Docker(
        {"npm ci": ["npm ci can only install"], "npm rebuild": ["gyp ERR! a"], "npm rebuild x": ["gyp ERR!"]}
    )

    found, warnings = build(docker, plan(tmp_path, INSTALL, rebuild))

    assert docker.built[-1] == ["npm install"]
    assert found.doubt
    assert found.doubt.reason == Reason.SYSTEM_PACKAGE_MISSING
    assert "npm rebuild x failed" in found.doubt.message
    assert UNBUILT.why[0] in warnings[-1]
    assert build(Docker({"npm ci": ["no"]}), plan(tmp_path, INSTALL))[0].doubt is None


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize("said", ["No space left on device", "heap out of memory"])
def test_what_no_other_way_can_help_is_said_at_once(tmp_path: Path, said: str) -> None:
    docker = Docker({"npm ci": [said]})

    with pytest.raises(BuildError):
        build(docker, plan(tmp_path, INSTALL))

    assert len(docker.built) == 1


@pytest.mark.requirement("B-13")
def test_a_build_that_names_ever_more_that_is_gone_comes_to_an_end(tmp_path: Path) -> None:
    docker = Docker({"npm ci": [f"gone: {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]})

    with pytest.raises(BuildError):
        build(docker, plan(tmp_path, INSTALL))

    assert len(docker.built) == otherwise.TIMES


def test_a_dockerfile_of_the_repositorys_own_is_built_as_it_is(tmp_path: Path) -> None:
    docker = Docker({"npm ci": ["gone: a"]})
    first = plan(tmp_path, INSTALL)
    own = Plan(checkout=first.checkout, candidate=first.candidate, dockerfile=first.dockerfile)

    with pytest.raises(BuildError):
        build(docker, own)

    assert len(docker.built) == 1
    assert own.with_instead(INSTALL, INSTALL) is own
