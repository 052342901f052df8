from __future__ import annotations

from pathlib import Path

import pytest
from lab import settings
from lab.errors import LabError


def test_the_cache_folder_follows_the_desktop_convention() -> None:
    assert settings.from_environment({"HOME": "/home/ann"}).cache == Path("/home/ann/.cache/toolman")
    assert settings.from_environment({"HOME": "/home/ann", "XDG_CACHE_HOME": "/c"}).cache == Path("/c/toolman")


def test_a_cache_folder_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(LabError, match="set XDG_CACHE_HOME to a shorter folder"):
        settings.from_environment({"XDG_CACHE_HOME": "/home/" + "a" * 60})


def test_a_cluster_needs_a_registry_that_its_nodes_reach() -> None:
    with pytest.raises(LabError, match="set TOOLMAN_REGISTRY too"):
        settings.from_environment({"HOME": "/h", "TOOLMAN_KUBECONFIG": "/k"})
    both = {"HOME": "/h", "TOOLMAN_KUBECONFIG": "/k", "TOOLMAN_REGISTRY": "registry.example.com"}
    assert settings.from_environment(both).kubeconfig == Path("/k")


def test_only_base_images_that_are_given_are_taken() -> None:
    given = settings.from_environment({"HOME": "/h", "TOOLMAN_BASE_NODE": "mirror/node:22", "TOOLMAN_BASE_PYTHON": ""})
    assert given.base_images == {"node": "mirror/node:22"}


def test_certificate_authorities_are_those_given_then_those_of_openssl(tmp_path: Path) -> None:
    own, other = tmp_path / "own.pem", tmp_path / "other.pem"
    own.touch()
    other.touch()
    environ = {"HOME": "/h", "SSL_CERT_FILE": str(other)}
    assert settings.from_environment(environ).ca_file == other
    assert settings.from_environment({**environ, "TOOLMAN_CA_FILE": str(own)}).ca_file == own


def test_a_file_of_authorities_that_is_not_there_is_refused() -> None:
    with pytest.raises(LabError, match="TOOLMAN_CA_FILE=/none is not a file"):
        settings.from_environment({"HOME": "/h", "TOOLMAN_CA_FILE": "/none"})
