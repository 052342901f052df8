"""Real MCP clients from npm, with loopback stand-ins for the models that they would ask."""
