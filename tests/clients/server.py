"""An MCP server over stdio with two tools, of which agents are to see one. Standard library only."""

from __future__ import annotations

import json
import sys

SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
TOOLS = [{"name": name, "description": f"Would {name} a word.", "inputSchema": SCHEMA} for name in ("repeat", "forget")]


def answer(method: str, params: dict[str, dict[str, str]]) -> object:
    """Give the result of a request; None if there is none."""
    if method == "initialize":
        info = {"name": "words", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": f"heard {params['arguments']['word']}"}]}
    return None


def main() -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            result = answer(message["method"], message.get("params", {}))
            error = {"code": -32601, "message": "Method not found"}
            outcome = {"error": error} if result is None else {"result": result}
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome}), flush=True)


if __name__ == "__main__":
    main()
