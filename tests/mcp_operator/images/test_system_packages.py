from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import diagnosis, recipes, system_packages
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect.candidate import Candidate, NodeFacts, Use
from mcp_operator.images.plan import Plan
from mcp_operator.images.reasons import Reason
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    from mcp_operator.images.recipes.recipe import Recipe

pytestmark = pytest.mark.requirement("B-12")

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
NO_GIT = "Error: spawn git ENOENT"
NO_RIPGREP = "FileNotFoundError: [Errno 2] No such file or directory: 'rg'"


def plan(base: str = "node:22-slim") -> Plan:
    def again(candidate: Candidate) -> Recipe:
        return recipes.recipe(candidate, base, Interpreter(path="", version="0"), WHEN)

    facts = NodeFacts(
        manager="npm",
        locked=True,
        manifests=("package.json",),
        workspaces=False,
        rebuild=(),
        script="",
        target="a.js",
        engines="",
    )
    candidate = Candidate(
        runtime="node",
        folder=".",
        root=".",
        name="x",
        use=Use.SERVER,
        evidence=(),
        command=("node", "a.js"),
        facts=facts,
        build_packages=("jq",),
    )
    checkout = Checkout(commit="", root=Path(), committed=WHEN)
    render = str
    recipe = again(candidate)
    return Plan(checkout=checkout, candidate=candidate, dockerfile="", recipe=recipe, render=render, again=again)


def missing(said: str, step: Step = Step.VERIFY) -> BuildError:
    return BuildError(Reason.SYSTEM_PACKAGE_MISSING, "it ended", step=step, log_tail=said)


class Runs:
    """Fails with each of a row of errors, and then gives the plan."""

    def __init__(self, *errors: BuildError) -> None:
        self.plans: list[Plan] = []
        self._errors = list(errors)

    def __call__(self, plan: Plan) -> Plan:
        self.plans.append(plan)
        if self._errors:
            raise self._errors.pop(0)
        return plan


def test_what_is_missing_is_added_one_after_the_other_and_said() -> None:
    runs, said = Runs(missing(NO_GIT), missing(NO_RIPGREP)), list[str]()

    made = system_packages.make(plan(), runs, said.append)

    assert made.candidate.system_packages == ("git", "ripgrep")
    assert made.candidate.build_packages == ("jq", "git", "ripgrep")
    assert made.recipe
    assert made.recipe.system_packages == ("git", "ripgrep")
    assert made.dockerfile == str(made.recipe)
    assert [line.partition(";")[0] for line in said] == [
        "added, as it was missing: git",
        "added, as it was missing: ripgrep",
    ]
    assert made.evidence[-1] == said[-1]


def test_what_still_fails_when_it_is_there_says_why_itself() -> None:
    other = BuildError(Reason.SETTING_MISSING, "it wants a token", step=Step.VERIFY)

    with pytest.raises(BuildError, match="it wants a token"):
        system_packages.make(plan(), Runs(missing(NO_GIT), other), print)


def test_where_it_cannot_be_added_the_first_error_is_told() -> None:
    other = BuildError(Reason.NETWORK_FAILED, "apt-get failed", step=Step.BUILD)

    with pytest.raises(BuildError, match="it ended") as caught:
        system_packages.make(plan(), Runs(missing(NO_GIT), other), print)

    assert caught.value.__cause__ is other


def test_it_is_not_added_twice_nor_without_end() -> None:
    same = Runs(*[missing(NO_GIT)] * 3)
    with pytest.raises(BuildError, match="it ended"):
        system_packages.make(plan(), same, print)
    assert len(same.plans) == 2

    names = ("git", "jq", "ffmpeg", "pandoc", "curl", "wget")
    many = Runs(*(missing(f"Error: spawn {name} ENOENT") for name in names))
    with pytest.raises(BuildError, match="it ended"):
        system_packages.make(plan(), many, print)
    assert len(many.plans) == system_packages.MOST + 1


@pytest.mark.parametrize(
    ("base", "error"),
    [
        ("node:22-alpine", missing(NO_GIT)),  # its packages have names of their own
        ("node:22-slim", missing("Error: spawn oddity ENOENT")),
        ("node:22-slim", BuildError(Reason.HANDSHAKE_FAILED, "no", step=Step.VERIFY, log_tail=NO_GIT)),
    ],
)
def test_nothing_is_guessed(base: str, error: BuildError) -> None:
    assert system_packages.instead(plan(base), error) is None


def test_a_dockerfile_of_the_repositorys_own_is_not_ours_to_change() -> None:
    own = dataclasses.replace(plan(), recipe=None)

    assert system_packages.instead(own, missing(NO_GIT)) is None


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Error: pg_config executable not found.", ("libpq-dev",)),
        ("fatal error: libxml/xpath.h: No such file or directory", ("libxml2-dev", "libxslt1-dev")),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file", ("libgl1",)),
        ("error: can't find Rust compiler", ("cargo",)),
        ("/bin/sh: 1: cmake: not found", ("cmake",)),
        ('Error: Failed to load keytar native addon, checked ["x"]', ("libsecret-1-0",)),
        ("Error: spawnSync jq ENOENT", ("jq",)),
        ("gyp ERR! build error", ()),
        ("all is well", ()),
    ],
)
def test_which_package_it_is_comes_from_a_list_of_ours(said: str, found: tuple[str, ...]) -> None:
    assert diagnosis.packages(said) == found
