"""MCP proxy that lets an agent see and call exactly the tools it may, and nothing else."""

__version__ = "0.1.0"
