from __future__ import annotations

import pytest
from mcp_operator import names

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.requirement("O-05")
@pytest.mark.parametrize(
    ("image", "inputs", "expected"),
    [
        (f"r.test:5000/mcp/one@{DIGEST}", "12ab", f"r.test:5000/mcp/one:r-12ab@{DIGEST}"),
        (f"r.test/one:v1@{DIGEST}", "12ab", f"r.test/one:r-12ab@{DIGEST}"),
        (f"one@{DIGEST}", "12ab", f"one:r-12ab@{DIGEST}"),
        (f"one@{DIGEST}", "", f"one@{DIGEST}"),
        ("r.test/one:v1", "12ab", "r.test/one:v1"),
    ],
)
def test_other_inputs_name_the_same_image_by_another_reference(image: str, inputs: str, expected: str) -> None:
    assert names.restarting_reference(image, inputs) == expected
