"""The Secrets and ConfigMaps that an MCPServer names, and for what. Pure: from its spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.models.run import Run
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.source import KeyRef

Kind = Literal["Secret", "ConfigMap"]


class Reference(NamedTuple):
    """An object of the server's namespace.

    Attributes:
        kind: Of the object.
        name: Of the object.
        key: None where the whole object is meant.
        pulls: It is what an image is pulled with, and so made in another way than others.
    """

    kind: Kind
    name: str
    key: str | None = None
    pulls: bool = False


def of_container(run: Run) -> list[Reference]:
    """Give what the server's container gets: environment and files."""
    found: list[Reference] = []
    for variable in run.env:
        if variable.value_from is not None:
            found.extend(_keys(variable.value_from.secret_key_ref, variable.value_from.config_map_key_ref))
    for source in run.env_from:
        if source.secret_ref is not None:
            found.append(Reference("Secret", source.secret_ref.name))
        if source.config_map_ref is not None:
            found.append(Reference("ConfigMap", source.config_map_ref.name))
    for file in run.files:
        found.extend(_keys(file.secret_key_ref, file.config_map_key_ref))
    return found


def of_toolman(spec: MCPServerSpec) -> list[Reference]:
    """Give what toolman's container gets for a remote server: headers and authorities."""
    remote = spec.source.remote
    if remote is None:
        return []
    headers = [header.value_from.secret_key_ref for header in remote.headers]
    return [*(Reference("Secret", key.name, key.key) for key in headers), *_keys(None, remote.ca_ref)]


def of_kubelet(spec: MCPServerSpec) -> list[Reference]:
    """Give what the server's image is pulled with."""
    pulled = [each.name for each in spec.run.image_pull_secrets]
    image = spec.source.image
    if image is not None and image.pull_secret_ref is not None:
        pulled.append(image.pull_secret_ref.name)
    return [Reference("Secret", name, pulls=True) for name in dict.fromkeys(pulled)]


def of_operator(spec: MCPServerSpec) -> list[Reference]:
    """Give what the operator itself fetches, pulls and pushes with."""
    git, image = spec.source.git, spec.source.image
    named = (
        git.secret_ref if git is not None else None,
        image.pull_secret_ref if image is not None else None,
        spec.build.push_secret_ref,
    )
    return [Reference("Secret", each.name) for each in named if each is not None]


def secrets(spec: MCPServerSpec) -> frozenset[str]:
    """Name every Secret that has to do with a server, also those of its source and its image: no agent may have one."""
    every = (*of_container(spec.run), *of_toolman(spec), *of_kubelet(spec), *of_operator(spec))
    return frozenset(each.name for each in every if each.kind == "Secret")


def _keys(secret: KeyRef | None, config_map: KeyRef | None) -> Iterator[Reference]:
    if secret is not None:
        yield Reference("Secret", secret.name, secret.key)
    if config_map is not None:
        yield Reference("ConfigMap", config_map.name, config_map.key)
