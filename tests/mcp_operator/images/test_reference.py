from __future__ import annotations

import pytest
from mcp_operator.images import reference

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.requirement("B-21")
@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "server"),
    [
        ("node", "docker.io", "library/node", "latest", "registry-1.docker.io"),
        ("ann/tool:1", "docker.io", "ann/tool", "1", "registry-1.docker.io"),
        ("index.docker.io/ann/tool", "docker.io", "ann/tool", "latest", "registry-1.docker.io"),
        ("ghcr.io/ann/tool:v1.2", "ghcr.io", "ann/tool", "v1.2", "ghcr.io"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000", "x", "latest", "127.0.0.1:5000"),
        ("[::1]:5000/x:1", "[::1]:5000", "x", "1", "[::1]:5000"),
        ("localhost/a/b:c", "localhost", "a/b", "c", "localhost"),
        (f"ghcr.io/a/b@{DIGEST}", "ghcr.io", "a/b", "", "ghcr.io"),
        (f"ghcr.io/a/b:1@{DIGEST}", "ghcr.io", "a/b", "1", "ghcr.io"),
    ],
)
def test_a_name_is_taken_apart_as_docker_does(text: str, host: str, path: str, tag: str, server: str) -> None:
    found = reference.parse(text)

    assert (found.host, found.path, found.tag, found.server) == (host, path, tag, server)


@pytest.mark.parametrize(
    "text",
    ["", "Upper", "a b", "host.io/", "x:-1", "a//b", "a/../b", "x@sha256:1", f"x/{'a' * 300}", "x:1\n", "h.io/é"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of an image"):
        reference.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.3.2.1:5000/x", True),
        ("[::1]:5000/x", True),
        ("localhost:1/x", True),
        ("172.17.0.1:5000/x", False),
        ("localhost.example.com/x", False),
        ("ghcr.io/x", False),
        ("127.0.0.1.example.com/x", False),
    ],
)
def test_only_this_machines_addresses_are_its_own(text: str, *, expected: bool) -> None:
    assert reference.parse(text).on_loopback == expected


def test_a_name_is_written_as_it_is_asked_for() -> None:
    assert str(reference.parse(f"ghcr.io/a/b@{DIGEST}")) == f"ghcr.io/a/b@{DIGEST}"
    assert reference.parse(f"ghcr.io/a/b:1@{DIGEST}").version == DIGEST
    assert str(reference.parse("node:22")) == "docker.io/library/node:22"
