from __future__ import annotations

import pytest
from mcp_operator.images import cleanup


@pytest.mark.parametrize("uid", ["", "../x", "a/b", "*", ".", "-a", "a" * 65, "a\n"])
def test_only_a_uid_names_folders(uid: str) -> None:
    with pytest.raises(ValueError, match="not a UID"):
        cleanup.folder_prefix(uid)


def test_one_owners_prefix_is_never_the_start_of_anothers() -> None:
    assert not cleanup.folder_prefix("ab").startswith(cleanup.folder_prefix("a"))
