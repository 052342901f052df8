from __future__ import annotations

import pytest
from mcp_operator.images.detect.versions import node_satisfied, satisfied


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


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("wanted", "version", "expected"),
    [
        ("", "22.1.0", True),
        ("*", "22.1.0", True),
        (">=18", "22.1.0", True),
        (">= 18.0.0", "17.9.0", False),
        (">=18 <21", "20.999.999", True),
        (">=18 <21", "21.0.0", False),
        ("^20.19.0 || ^22.13.0 || >= 24.0.0", "22.13.1", True),
        ("^20.19.0 || ^22.13.0 || >= 24.0.0", "23.0.0", False),
        ("20.x", "20.5.1", True),
        ("20", "22.0.0", False),
        ("=20.5", "20.5.7", True),
        ("~20.5.0", "20.5.9", True),
        ("~20.5.0", "20.6.0", False),
        ("~20", "20.9.0", True),
        ("<=20", "20.9.0", True),
        ("<=20", "21.0.0", False),
        (">20", "20.9.0", False),
        (">20", "21.0.0", True),
        ("18 - 20", "20.9.0", True),
        ("18 - 20", "21.0.0", False),
        ("v22.1.0", "22.1.0", True),
        ("lts/iron", "22.1.0", True),
        (">=22.0.0-rc.1", "22.1.0", True),
    ],
)
def test_the_ranges_of_engines_are_understood(wanted: str, version: str, *, expected: bool) -> None:
    assert node_satisfied(wanted, version) is expected
