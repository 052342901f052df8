from __future__ import annotations

import pytest
from mcp_operator.images.detect.versions import satisfied


@pytest.mark.parametrize(
    ("specifier", "version", "expected"),
    [
        (">=3.10", "3.11.7", True),
        (">=3.12", "3.11.7", False),
        (">=3.10,<3.12", "3.11.7", True),
        (">=3.10,<3.11", "3.11.7", False),
        ("==3.11.*", "3.11.7", True),
        ("==3.12.*", "3.11.7", False),
        ("==3.11", "3.11.7", False),
        ("!=3.11.7", "3.11.7", False),
        ("!=3.10.*", "3.11.7", True),
        ("~=3.10", "3.11.7", True),
        ("~=3.10.1", "3.11.7", False),
        ("^3.10", "3.11.7", True),
        ("^4", "3.11.7", False),
        (">3.11", "3.11.0", False),
        ("<=3.11", "3.11.0", True),
        ("", "3.11.7", True),
        ("whatever", "3.11.7", True),
        (">=3.10,", "3.11.7", True),
    ],
)
def test_the_specifiers_of_requires_python_are_understood(specifier: str, version: str, *, expected: bool) -> None:
    assert satisfied(specifier, version) is expected
