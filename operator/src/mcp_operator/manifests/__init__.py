"""What the operator writes for an agent: its Pod, its ConfigMap, toolman's configuration. Pure functions to dicts.

``template`` says what a user's Pod template may not hold; ``pod`` puts the Pod together from ``agent`` (the user's
containers), ``sidecars`` (ours) and ``servers`` (the MCP servers); ``config`` writes what toolman reads.
"""
