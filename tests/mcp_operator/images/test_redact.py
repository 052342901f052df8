from __future__ import annotations

import pytest
from mcp_operator.images import redact


@pytest.mark.requirement("F-08")
@pytest.mark.requirement("B-11")
@pytest.mark.parametrize(
    "text",
    [
        "cloning https://me:s3cret99@example.com/x",
        "Authorization: Bearer s3cret99",
        "API_KEY=s3cret99",
        'password: "s3cret99"',
        "MY_TOKEN = s3cret99",
        "AWS_SECRET_ACCESS_KEY=s3cret99",
        "DB_PASSWORD='one s3cret99 two'",
        'token: "one s3cret99 two"',
        "curl --api-key s3cret99 https://example.com",
        "mysql --password s3cret99",
        "npm_s3cret99s3cret99s3cret99",
        "ghp_s3cret99s3cret99s3cret99",
        "sk-s3cret99s3cret99s3cret99",
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str) -> None:
    assert "s3cret99" not in redact.line(text)
    assert redact.MASK in redact.line(text)


def test_control_characters_and_colours_are_removed() -> None:
    assert redact.line("\x1b[31mred\x1b[0m \x07bell\x00 \x1b]0;title\x07end \u202eevil") == "red bell end evil"


def test_a_long_line_is_cut() -> None:
    assert len(redact.line("x" * 100_000)) == redact.LINE_LIMIT


def test_a_progress_bar_shows_its_last_state_only() -> None:
    assert redact.lines("10%\r50%\r100%\r\n\nnext\n") == ["100%", "next"]


def test_the_tail_keeps_the_last_lines_within_its_limit() -> None:
    tail = redact.Tail()
    for number in range(1000):
        tail.add(f"{number} " + "ä" * 400)

    text = str(tail)

    assert len(text.encode()) <= redact.TAIL_LIMIT
    assert tail.lines()[-1].startswith("999 ")
    assert len(tail.lines()) == redact.TAIL_LINES


@pytest.mark.parametrize(
    "text",
    [
        "INFO 12 tokens: a b",
        "the following arguments are required: --token",
        "--token is required",
        "Missing API_KEY",
        "npm warn deprecated secret-thing@1.0.0",
    ],
)
def test_what_only_names_a_credential_stays(text: str) -> None:
    assert redact.line(text) == text
