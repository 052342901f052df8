"""Real input for the tests and the demo: published MCP servers in git repositories, served by a real git server."""
