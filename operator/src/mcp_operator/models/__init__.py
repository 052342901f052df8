"""The resources as a user writes them; ``mcp_operator.crds`` makes the CRDs from these models."""
