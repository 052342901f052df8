"""Label selectors match as the API server's would."""

from __future__ import annotations

from typing import Any

import pytest
from mcp_operator import label_selectors
from mcp_operator.models.policy import LabelSelector

LABELS = {"team": "blue", "tier": "web"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"team": "blue"}}, True),
        ({"matchLabels": {"team": "blue", "tier": "web"}}, True),
        ({"matchLabels": {"team": "blue", "tier": "batch"}}, False),
        ({"matchLabels": {"absent": ""}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["red", "blue"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["red"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "In", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["blue"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["blue"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "absent", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
        (
            {
                "matchLabels": {"team": "blue"},
                "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}],
            },
            False,
        ),
    ],
)
def test_a_selector_matches_when_every_part_of_it_does(selector: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table
    assert label_selectors.matches(LabelSelector.model_validate(selector), LABELS) is expected
