"""The HTTP side: bytes of a connection become messages of MCP, and what comes back becomes bytes again."""
