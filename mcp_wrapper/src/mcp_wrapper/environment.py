"""Names of the environment variables. The wrapper reads them, so it owns them; whoever sets them imports them."""

from __future__ import annotations

URL_VARIABLE = "MCP_TOOLMAN_SERVER_URL"
"""Where toolman serves MCP."""
TIMEOUT_VARIABLE = "MCP_WRAPPER_TIMEOUT"
"""Seconds of silence after which one call is answered with an error; 0 waits for ever."""
DEBUG_VARIABLE = "MCP_WRAPPER_DEBUG"
"""1 writes a line for every message to stderr."""
TOKEN_FILE_VARIABLE = "MCP_WRAPPER_TOKEN_FILE"  # noqa: S105 - the name of a variable that holds a path
"""File with a bearer token for toolman; read again when it changes."""
CONNECT_TIMEOUT_VARIABLE = "MCP_WRAPPER_CONNECT_TIMEOUT"
"""Seconds that a message waits for a toolman that is not up yet, or down for a moment."""
UID_VARIABLE = "MCP_TOOLMAN_UID"
"""User that toolman runs as on this machine; nothing is sent to anybody else's process. Empty: not checked."""
CERTIFICATES_VARIABLE = "SSL_CERT_FILE"
"""File with the authorities to trust for https, instead of the system's."""

DEFAULT_URL = "http://localhost:3000/mcp"
DEFAULT_TIMEOUT = 0.0
DEFAULT_CONNECT_TIMEOUT = 30.0
