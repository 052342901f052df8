"""Kubernetes operator: from a git URL to an agent that can call exactly the tools it may call."""

__version__ = "0.1.0"
