"""Do a step of a build otherwise when it fails: a lock that cannot be followed, a module that must be compiled.

Each way is a Dockerfile of its own, without the others in it: what was done before the step comes from Docker's cache.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mcp_operator.images import diagnosis, redact
from mcp_operator.images.engine_errors import BuildFailedError
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes.recipe import instead

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.images.build_log import BuildLog
    from mcp_operator.images.plan import Plan

TIMES = 12
"""Builds of one image: a lock may name several packages that are gone."""
_HOPELESS = frozenset(
    {
        Reason.DISK_FULL,
        Reason.OUT_OF_MEMORY,
        Reason.BUILD_LIMIT,
        Reason.ENGINE_FAILED,
        Reason.CERTIFICATE_UNTRUSTED,
    }
)
"""Whatever is done instead fails, too."""


def build(plan: Plan, run: Callable[[Plan], str], log: BuildLog, warn: Callable[[str], None]) -> tuple[Plan, str]:
    """Build a plan, or else what it becomes where its steps fail; give the one that worked, and its image.

    Args:
        plan: What to build first.
        run: Builds one, and gives its image.
        log: What is heard of all of them.
        warn: Gets a line for each step that was done otherwise.

    Raises:
        BuildError: Nothing is left to try; of a step that was tried in several ways, by what was heard of all of them.
        BuildCancelled: As the build says.
    """
    earlier: list[str] = []
    left = TIMES
    while True:
        left -= 1
        try:
            return plan, run(plan)
        except BuildFailedError as error:
            said = redact.line(str(error))
            command = plan.command_at(log.step[0])
            if not (command and command.why):  # it is the first way of this step
                earlier = []
            failed = diagnosis.failed(log, said, earlier)
            heard = [*log.recent, said]
            other = instead(command, "\n".join(heard)) if command and left else None
            if not command or not other or failed.reason in _HOPELESS:
                raise failed from error
            earlier += heard
            warn(f"{log.instruction} failed and was done otherwise: {other.why[-1]}")
            doubt = failed if other.doubtful else plan.doubt
            plan = dataclasses.replace(plan.with_instead(command, other), doubt=doubt)
