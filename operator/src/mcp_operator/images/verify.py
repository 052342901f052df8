"""Run an image as a Pod will and see that it speaks MCP: first without network, then, only if that fails, with it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import cleanup, diagnosis, handshake, redact, sandbox
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import BuildRequest
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.handshake import Manifest

SECONDS = 60
"""For one attempt: large Python servers import for up to 37 s on a small machine, some try a database for a while."""

_NOT_FOR_WANT_OF_A_NETWORK = (Reason.SETTING_MISSING, Reason.STARTED_HTTP, Reason.OUT_OF_MEMORY)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What the handshake found. ``network`` says that the server did not start without."""

    manifest: Manifest
    network: bool
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Failure:
    message: str
    lines: list[str]
    code: int = diagnosis.RUNNING
    out_of_memory: bool = False


def verify(engine: Engine, image: str, request: BuildRequest, budget: Budget, hear: Callable[[str], None]) -> Verified:
    """Do the handshake with an image.

    Raises:
        BuildError: It does not speak MCP; its last lines on stderr are in the log tail.
        BuildCancelled: The budget says so.
    """
    found = _attempt(engine, image, request, budget, hear, network=False)
    if isinstance(found, BuildError) and found.reason not in _NOT_FOR_WANT_OF_A_NETWORK:
        found = _attempt(engine, image, request, budget, hear, network=True)
    if isinstance(found, BuildError):
        raise found
    return found


def _attempt(
    engine: Engine,
    image: str,
    request: BuildRequest,
    budget: Budget,
    hear: Callable[[str], None],
    *,
    network: bool,
) -> Verified | BuildError:
    hear(f"handshake {'with' if network else 'without'} network")
    began = time.monotonic()
    env = {"HOME": names.SERVER_HOME, **request.env}
    limits = sandbox.Limits(network=network, arguments=request.args, env=env)
    with sandbox.started(engine, image, limits, cleanup.owner(request)) as server:
        try:
            manifest = handshake.perform(server, budget.at_most(SECONDS))
        except handshake.HandshakeError as error:
            failure = _Failure(message=str(error), lines=server.stderr, code=diagnosis.ANSWERED)
        except sandbox.Ended:
            code, out_of_memory = server.exit()
            message = f"the server ended with status {code} before it answered"
            failure = _Failure(message=message, lines=server.stderr, code=code, out_of_memory=out_of_memory)
        except (TimeoutError, BuildError):
            budget.check(Step.VERIFY)  # the whole build's time is another matter
            failure = _Failure(message=f"the server did not answer within {SECONDS} s", lines=server.stderr)
        else:
            return Verified(manifest=manifest, network=network, seconds=time.monotonic() - began)
    for line in failure.lines[-redact.TAIL_LINES :]:
        hear(line)
    return _explain(failure)


def _explain(failure: _Failure) -> BuildError:
    tail = redact.Tail()
    for line in failure.lines:
        tail.add(line)
    if failure.out_of_memory:
        finding = diagnosis.Finding(
            Reason.OUT_OF_MEMORY,
            f"It needs more than {sandbox.MEMORY // 2**20} MiB to start: it is too large to run in a Pod of ours.",
        )
    else:
        finding = diagnosis.start(failure.lines, failure.code)
    return BuildError(
        finding.reason,
        failure.message,
        step=Step.VERIFY,
        hint=finding.hint,
        log_tail=str(tail),
        transient=finding.transient,
    )
