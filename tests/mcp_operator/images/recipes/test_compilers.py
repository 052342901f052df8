from __future__ import annotations

import pytest
from mcp_operator.images.recipes import compilers


@pytest.mark.requirement("B-04")
@pytest.mark.parametrize(("base", "program"), [("node:22-slim", "apt-get"), ("node:22-alpine", "apk")])
def test_compilers_come_from_the_bases_distribution(base: str, program: str) -> None:
    run = compilers.first(("npm", "rebuild", "a b"), base)

    assert run.words == ("npm", "rebuild", "a b")
    assert run.before[0][2].startswith(program)


@pytest.mark.requirement("B-12")
def test_what_only_building_needs_is_not_in_the_image_that_runs() -> None:
    assert compilers.without(("build-essential", "git", "libpq-dev")) == ("git", "libpq-dev")
