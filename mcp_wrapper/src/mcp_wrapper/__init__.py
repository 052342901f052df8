"""stdio to HTTP bridge: an agent that only starts MCP servers as processes reaches toolman through it."""

__version__ = "0.1.0"
