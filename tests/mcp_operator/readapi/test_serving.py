"""The read API over real sockets, with and without TLS."""

from __future__ import annotations

import dataclasses
import os
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import ports
import pytest
import uvicorn
from agent_world import SETTINGS
from lab.pki import Authority
from mcp_operator import kube
from mcp_operator.readapi import serving

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.kube import Kubernetes

pytestmark = pytest.mark.requirement("O-35")


@pytest.fixture
def api(tmp_path: Path) -> Kubernetes:
    """Give a cluster where nobody answers."""
    config = tmp_path / "config"
    config.write_text(
        '{"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],'
        '"users": [{"name": "u", "user": {"token": "t"}}], "current-context": "x",'
        '"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}'
    )
    return kube.connect_as_person(str(config))[0]


def _certificate(folder: Path) -> tuple[Authority, Path, Path]:
    authority = Authority(folder / "pki")
    authority.create()
    authority.server("door", "/CN=door", ["DNS:localhost"])
    return authority, authority.folder / "door.crt", authority.folder / "door.key"


def test_it_is_not_served_unless_a_port_is_set(api: Kubernetes) -> None:
    with serving.answering(SETTINGS, api) as port:
        assert port == 0


def test_it_answers_without_tls_and_warns_of_that(api: Kubernetes, caplog: pytest.LogCaptureFixture) -> None:
    chosen = dataclasses.replace(SETTINGS, read_api_port=ports.free())
    with serving.answering(chosen, api) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/servers", timeout=30).status_code == 401
    assert "callers' tokens can be read on their way" in caplog.text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/api/v1/servers", timeout=30)


def test_a_cluster_that_does_not_answer_is_said_to_be_away(api: Kubernetes) -> None:
    chosen = dataclasses.replace(SETTINGS, read_api_port=ports.free())
    with serving.answering(chosen, api) as port:
        headers = {"Authorization": "Bearer x"}
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/servers", headers=headers, timeout=30)
    assert answer.status_code == 503


def test_it_answers_with_tls(api: Kubernetes, tmp_path: Path) -> None:
    authority, certificate, key = _certificate(tmp_path)
    chosen = dataclasses.replace(
        SETTINGS, read_api_port=ports.free(), read_api_certificate=str(certificate), read_api_key=str(key)
    )
    with serving.answering(chosen, api) as port:
        trusting = ssl.create_default_context(cafile=str(authority.certificate))
        url = f"https://localhost:{port}/api/v1/servers"
        assert httpx.get(url, verify=trusting, timeout=30).status_code == 401


def test_a_renewed_certificate_is_taken_and_a_broken_one_is_not(tmp_path: Path) -> None:
    _, certificate, key = _certificate(tmp_path)
    config = uvicorn.Config("x:y", ssl_certfile=str(certificate), ssl_keyfile=str(key), log_config=None)
    config.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    seen = serving.renew(config, ())
    assert serving.renew(config, seen) == seen
    os.utime(certificate, ns=(1, 1))
    assert serving.renew(config, seen) != seen
    certificate.write_text("broken")
    assert serving.renew(config, seen) == seen


def test_a_port_that_is_taken_is_an_error(api: Kubernetes) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 - as the API itself
        chosen = dataclasses.replace(SETTINGS, read_api_port=int(taken.getsockname()[1]))
        with pytest.raises(OSError, match="in use"), serving.answering(chosen, api):
            pass
