"""What the operator mounts of an installed wrapper is what the wrapper's installer writes."""

from __future__ import annotations

import pytest
from mcp_operator import names

from mcp_wrapper import client_config, installer

pytestmark = pytest.mark.requirement("F-06")


def test_what_names_mean_is_mounted_from_where_it_is_installed() -> None:
    assert names.NAME_FILES == installer.NAMES
    assert names.SYSTEM_PATH.strip("/") == installer.NAMES_FOLDER
    assert names.SYSTEM_PATH == installer.HERE


def test_the_wrapper_is_started_where_it_is_installed() -> None:
    assert f"{names.INSTALL_PATH}/{client_config.SCRIPT}" == names.WRAPPER_PATH
