"""What the operator writes for an agent: its Pod, its ConfigMap, toolman's configuration. Pure functions to dicts.

``template`` says what a user's Pod template may not hold; ``pod`` puts the Pod together from ``agent`` (the user's
containers), ``sidecars`` (ours), ``servers`` (the MCP servers in it, with their ``files``) and ``upstreams`` (those
outside); ``injection`` puts the same into somebody else's Pod; ``config`` writes what toolman reads.
"""
