"""Whose an object is, and what it was made from."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from mcp_operator import names

if TYPE_CHECKING:
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource


def metadata(agent: Resource[MCPAgentSpec], name: str) -> dict[str, Any]:
    """Give the metadata of an object that goes when its agent goes."""
    return {
        "name": name,
        "namespace": agent.namespace,
        "labels": {names.MANAGED_BY: names.MANAGER, names.LABEL_AGENT: agent.name},
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": "MCPAgent",
                "name": agent.name,
                "uid": agent.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            },
        ],
    }


def of_server(name: str, uid: str) -> dict[str, Any]:
    """Give the owner reference of an object that goes when an MCPServer goes, and does not hold that up."""
    return {"apiVersion": names.API_VERSION, "kind": "MCPServer", "name": name, "uid": uid, "controller": True}


def digest(value: object) -> str:
    """Hash a JSON value (hexadecimal SHA-256); the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
