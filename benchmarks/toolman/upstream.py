"""An MCP server that costs next to nothing: it answers by position in the text, without parsing."""

from __future__ import annotations

import os
import sys

TOOLS = int(os.environ.get("TOOLS", "1"))
BIG = b"x" * int(os.environ.get("BIG", "10485760"))
TOOL = '{"name":"%s","description":"%s","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}}'
LISTING = ",".join(
    TOOL % ("echo" if n == 0 else "big" if n == 1 else f"tool_{n}", "what it does " * 10) for n in range(TOOLS)
)
SERVER = b'"capabilities":{"tools":{}},"serverInfo":{"name":"upstream","version":"1"}'
ANSWERS = {
    b"initialize": b'{"protocolVersion":"2025-11-25",' + SERVER + b"}",
    b"tools/list": f'{{"tools":[{LISTING}]}}'.encode(),
}
ECHO = b'{"content":[{"type":"text","text":"hello"}]}'


def main() -> None:
    rest = b""
    while data := os.read(0, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        answers = []
        for line in lines:
            head, _, tail = line.partition(b',"method":"')
            identifier = head.rpartition(b":")[2]
            method = tail.partition(b'"')[0]
            if not identifier.isdigit():
                continue
            result = ANSWERS.get(method, ECHO)
            if b'"name":"big"' in tail:
                result = b'{"content":[{"type":"text","text":"' + BIG + b'"}]}'
            answers.append(b'{"jsonrpc":"2.0","id":' + identifier + b',"result":' + result + b"}\n")
        sys.stdout.buffer.write(b"".join(answers))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
