"""``docs/mcp-wrapper.md`` names every variable, flag, client and file of the wrapper, and the texts that it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mcp_operator import names

from mcp_wrapper import client_config, environment, settings, stdio

pytestmark = pytest.mark.requirement("W-05", "W-08")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mcp-wrapper.md").read_text(encoding="utf-8")
VARIABLES = {
    str(value): vars(environment).get(f"DEFAULT_{name.removesuffix('_VARIABLE')}", "")
    for name, value in vars(environment).items()
    if name.endswith("_VARIABLE")
}
"""With their defaults."""


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_is_explained_with_its_default(name: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    default = VARIABLES[name]
    assert (f"`{default:g}`" if isinstance(default, float) else default) in row


def test_every_flag_of_the_usage_is_explained_and_no_other() -> None:
    flags = set(re.findall(r"--[a-z]+", settings.HELP))
    assert flags <= set(re.findall(r"`(--[a-z]+)", PAGE))
    table = PAGE[PAGE.index("## Settings") : PAGE.index("| command |")]
    assert set(re.findall(r"`(--[a-z]+)", table)) == flags


def test_every_client_is_explained_with_its_file_in_the_pod() -> None:
    for client, file in client_config.FILES.items():
        assert f"(`{client}`)" in PAGE
        assert f"{names.INSTALL_PATH}/config/{file}" in PAGE
    assert set(re.findall(r"/config/([a-z]+\.[a-z]+)", PAGE)) == set(client_config.FILES.values())


def test_the_usage_names_every_client_and_variable() -> None:
    assert f"config {'|'.join(client_config.FILES)}" in settings.HELP
    assert all(name in settings.HELP for name in VARIABLES)


def test_the_errors_in_the_page_are_those_in_the_code() -> None:
    """Compared are the words between what is filled in."""
    sources = ROOT / "mcp_wrapper" / "src" / "mcp_wrapper"
    code = " ".join(path.read_text(encoding="utf-8") for path in sorted(sources.glob("*.py")))
    table = PAGE[PAGE.index("### Errors") : PAGE.index("### Who listens")]
    texts = re.findall(r"^\| -32\d\d\d \| `([^`]+)`", table, re.MULTILINE)
    phrases = [phrase for text in texts for phrase in re.split(r"\b[A-Z_]{2,}\b|\b[N0-9]+\b|[.:;()]+ ?", text)]
    missing = [phrase for phrase in map(str.strip, phrases) if " " in phrase and phrase not in code]
    assert texts
    assert missing == []


def test_the_longest_line_is_named() -> None:
    assert f"{stdio.MAX_LINE_BYTES >> 20} MiB a line" in PAGE


def test_every_relative_link_leads_somewhere() -> None:
    links = {target for target in re.findall(r"\]\(([^)#:]+)\)", PAGE) if "://" not in target}
    assert [link for link in sorted(links) if not (ROOT / "docs" / link).exists()] == []
