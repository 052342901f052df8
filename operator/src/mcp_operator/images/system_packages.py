"""Add the distribution's package of a program or library that a build or a server missed, where it is known which.

What is added comes from a list of ours, never from what a stranger's program wrote.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

from mcp_operator.images import diagnosis
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes import bases

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.images.plan import Plan

_T = TypeVar("_T")

MOST = 4
"""Times that something is added to one image."""


def make(plan: Plan, run: Callable[[Plan], _T], warn: Callable[[str], None]) -> _T:
    """Make what a plan says, or else what it becomes with packages that were missing.

    Args:
        plan: What to make first.
        run: Makes one.
        warn: Gets a line for what is added.

    Raises:
        BuildError: It fails for something else. Where what was added cannot be installed, or the build then fails in
            another way, it is the error of the plan as it was.
        BuildCancelled: As ``run`` says.
    """
    first: BuildError | None = None
    left = MOST
    while True:
        try:
            return run(plan)
        except BuildError as error:
            other = instead(plan, error) if left else None
            if not other:
                if first and error.step == Step.BUILD:
                    raise first from error
                raise
            first, left = first or error, left - 1
            plan, why = other
            warn(why)


def instead(plan: Plan, error: BuildError) -> tuple[Plan, str] | None:
    """Give the plan with what was missing, and a warning; None if it is not known what that is.

    Args:
        plan: Which failed.
        error: How.
    """
    candidate = plan.candidate
    known = diagnosis.packages(error.log_tail) if error.reason == Reason.SYSTEM_PACKAGE_MISSING else ()
    added = tuple(name for name in known if name not in candidate.system_packages)
    if not added or not plan.recipe or bases.alpine(plan.recipe.base):
        return None
    said = f"added, as it was missing: {' '.join(added)}; with spec.build.systemPackages it is there at once"
    candidate = dataclasses.replace(
        candidate,
        system_packages=(*candidate.system_packages, *added),
        build_packages=(*candidate.build_packages, *added),
    )
    other = plan.with_facts(candidate, said)
    return (other, said) if other else None
