"""What the API server asks before it stores something: Pods that get an agent's sidecars, and warnings."""
