"""What the lab hands to tests, scripts and people: environment variables."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TOOLMAN_"
OPTIONAL = frozenset({"kubeconfig", "ca_file"})
"""Fields that may be empty: there may be no cluster, and no file with certificate authorities."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A lab that is up. A field's variable is its name in upper case behind ``TOOLMAN_``.

    Attributes:
        registry: Registry as the engine and the nodes name it (``127.0.0.1:5000``); plain HTTP if it is our own.
        engine_socket: Path of the engine's socket on a node.
        node_address: This machine's address that containers of the engine and Pods reach.
        base_python: Base image with Python.
        base_node: Base image with Node.
        base_debian: Base image with Debian alone.
        kubeconfig: File for kubectl with all rights; empty without a cluster.
        ca_file: Certificate authorities that builds must trust; empty if this machine has no such file.
    """

    registry: str
    engine_socket: str
    node_address: str
    base_python: str
    base_node: str
    base_debian: str
    kubeconfig: str = ""
    ca_file: str = ""

    def variables(self) -> dict[str, str]:
        """Give the variables that are set."""
        values = {variable(entry.name): str(getattr(self, entry.name)) for entry in fields(self)}
        return {name: value for name, value in values.items() if value}

    def exports(self, programs: str) -> str:
        """Write lines for a shell. Programs that are on PATH already come before ours."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.variables().items()]
        return "\n".join([*lines, f'export PATH="$PATH":{shlex.quote(programs)}'])


def variable(field: str) -> str:
    """Name the environment variable of a field."""
    return f"{PREFIX}{field.upper()}"


def from_variables(environ: Mapping[str, str]) -> Environment:
    """Read the variables back.

    Raises:
        LabError: One is missing.
    """
    values = {entry.name: environ.get(variable(entry.name), "") for entry in fields(Environment)}
    missing = [variable(name) for name, value in values.items() if not value and name not in OPTIONAL]
    if missing:
        raise LabError(
            f'{missing[0]} is not set: run scripts/test, or first scripts/lab up and eval "$(scripts/lab env)"'
        )
    return Environment(**values)
