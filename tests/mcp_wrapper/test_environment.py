import pytest

from mcp_wrapper import environment


@pytest.mark.requirement("W-05")
def test_the_names_that_people_set_never_change() -> None:
    names = {name: value for name, value in vars(environment).items() if name.isupper()}
    assert names == {
        "URL_VARIABLE": "MCP_TOOLMAN_SERVER_URL",
        "TIMEOUT_VARIABLE": "MCP_WRAPPER_TIMEOUT",
        "DEBUG_VARIABLE": "MCP_WRAPPER_DEBUG",
        "TOKEN_FILE_VARIABLE": "MCP_WRAPPER_TOKEN_FILE",
        "CONNECT_TIMEOUT_VARIABLE": "MCP_WRAPPER_CONNECT_TIMEOUT",
        "UID_VARIABLE": "MCP_TOOLMAN_UID",
        "CERTIFICATES_VARIABLE": "SSL_CERT_FILE",
        "DEFAULT_URL": "http://localhost:3000/mcp",
        "DEFAULT_TIMEOUT": 0.0,
        "DEFAULT_CONNECT_TIMEOUT": 30.0,
    }
