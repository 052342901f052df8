from __future__ import annotations

import pytest
from mcp_operator.commands import wording

pytestmark = pytest.mark.requirement("B-23")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Set spec.source.git.path to a.", "Set --path to a."),
        ("Raise spec.build.timeoutSeconds, or", "Raise --timeout, or"),
        ("spec.run.env and spec.run.args", "--env and --arg"),
        ("Start Docker.", "Start Docker."),
    ],
)
def test_fields_of_a_resource_are_told_as_options(text: str, told: str) -> None:
    assert wording.options(text) == told
