"""Which error is told when there are several; what a job really does is in tests/integration/test_builder.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.job import Job
from mcp_operator.images.plan import Plan
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-12")


def failed(reason: Reason) -> BuildError:
    return BuildError(reason, f"{reason} it is", step=Step.VERIFY, hint="Do.", log_tail="just so")


def told(tmp_path: Path, error: BuildError, doubt: BuildError | None) -> BuildError:
    """Give the error of a job whose server does not answer."""
    job = Job(*cast("Any", [None] * 6))

    def verify(_plan: Plan, _image: str) -> None:
        raise error

    cast("Any", job)._verify = verify
    checkout = Checkout(commit="", root=tmp_path, committed=datetime(2026, 1, 1, tzinfo=UTC))
    candidate = cast("Any", type("C", (), {"facts": None}))
    with pytest.raises(BuildError) as caught:
        job._verified(Plan(checkout=checkout, candidate=candidate, dockerfile="", doubt=doubt), "i")
    return caught.value


def test_a_step_that_was_left_out_is_the_cause_where_the_server_does_not_say_another(tmp_path: Path) -> None:
    doubt = failed(Reason.SYSTEM_PACKAGE_MISSING)

    error = told(tmp_path, failed(Reason.HANDSHAKE_FAILED), doubt)

    assert error is doubt
    assert error.hint == "Do. Without what it does, HandshakeFailed it is."


def test_a_setting_that_is_missing_is_the_cause_whatever_was_left_out(tmp_path: Path) -> None:
    missing = failed(Reason.SETTING_MISSING)

    assert told(tmp_path, missing, failed(Reason.SYSTEM_PACKAGE_MISSING)) is missing
    assert told(tmp_path, missing, None) is missing
