"""toolman with the mirror behind it: what goes in and what comes out, as text."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ports
from raw_client import RawClient
from raw_json import members
from toolman_harness import SERVERS, until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from toolman_harness import Starter

MIRROR = str(SERVERS / "mirror.py")
SERVER_INFO = '"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"mirror","version":"1"}}'


def tool(name: str, rest: str = "") -> str:
    """Write a tool as JSON text."""
    return f'{{"name":"{name}","inputSchema":{{"type":"object"}}{rest}}}'


@dataclass
class Mirrored:
    """A running toolman, and the folder that says what its server does."""

    port: int
    folder: Path
    era: str

    def client(self, era: str, version: str = "") -> RawClient:
        """Give a client of an era."""
        return RawClient(self.port, era, version)

    def says(self, name: str, kind: str, text: str) -> None:
        """Write down what the server says."""
        (self.folder / f"{name}.{kind}").write_text(text, "utf-8")

    def forget(self) -> None:
        """Begin anew: the server says nothing of its own and has received nothing."""
        for path in self.folder.iterdir():
            if path.suffix in {".result", ".error", ".progress"}:
                path.unlink()
        (self.folder / "received").write_bytes(b"")

    def received(self, method: str) -> list[dict[str, str]]:
        """Give the members of every request of a method that the server got, as they were written."""
        lines = (self.folder / "received").read_text("utf-8").split("\n")
        found = [members(line) for line in lines if line]
        return [message for message in found if message.get("method") == f'"{method}"']


def start(starter: Starter, era: str, tools: Sequence[str], layer: dict[str, object] | None = None) -> Mirrored:
    """Start toolman with a mirror of an era that has these tools."""
    folder = starter.folder / "mirror"
    folder.mkdir()
    entries = ",".join(tools)
    more = f',"resultType":"complete","ttlMs":0,"cacheScope":"private",{SERVER_INFO}' if era == "modern" else ""
    (folder / "list").write_text(f'{{"tools":[{entries}]{more}}}', "utf-8")
    port = ports.free()
    config = {
        "listen": {"port": port},
        "naming": "plain",
        "servers": [
            {"name": "mirror", "upstream": {"kind": "process", "command": [sys.executable, MIRROR, str(folder), era]}}
        ],
        "layers": [{"source": "test"} | (layer or {})],
    }
    _, client, _ = starter.serve(config)
    until(client.tools)
    return Mirrored(port, folder, era)
