from pathlib import Path

import pytest
from mcp_wrapper.credentials import CredentialsError, TokenFile


def test_without_a_path_there_is_no_header() -> None:
    assert TokenFile("").header() == b""


def test_a_token_is_read_again_when_its_file_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    token = TokenFile(str(path))
    assert token.header() == b"Authorization: Bearer first\r\n"
    renewed = tmp_path / "renewed"
    renewed.write_text("again\n")
    renewed.rename(path)
    assert token.header() == b"Authorization: Bearer again\r\n"


@pytest.mark.parametrize("content", ["", "\n", "two words", "line\r\nX-Evil: 1", "\u00e9"])
def test_what_is_not_one_token_is_refused_and_not_repeated(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(CredentialsError) as caught:
        TokenFile(str(path)).header()
    assert "Evil" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="token: No such file"):
        TokenFile(str(tmp_path / "token")).header()
