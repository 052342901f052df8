"""The protocol's own conformance suite, run against toolman and mcp-wrapper."""
