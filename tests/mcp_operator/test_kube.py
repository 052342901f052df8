from __future__ import annotations

import http.server
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client
from mcp_operator import cluster
from mcp_operator.cluster import POLICY, SERVER
from mcp_operator.kube import Kubernetes

if TYPE_CHECKING:
    from collections.abc import Iterator


class Api:
    """An API server that answers what a test says; what the real one answers is seen in tests/e2e."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str, str, Any]] = []


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def kube(api: Api) -> Iterator[Kubernetes]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            api.requests.append((self.command, self.path, self.headers.get("Content-Type") or "", body))
            code, answer = api.answers.pop(0)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the base class names them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_port}")
    connection: Any = client.ApiClient(configuration)
    yield Kubernetes(connection)
    connection.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, cluster.InvalidError),
        (403, cluster.ForbiddenError),
        (404, cluster.NotFoundError),
        (409, cluster.ConflictError),
        (422, cluster.InvalidError),
        (429, cluster.UnreachableError),
        (500, cluster.UnreachableError),
    ],
)
def test_what_the_api_server_refuses_becomes_our_error_with_its_text(
    api: Api, kube: Kubernetes, code: int, error: type[Exception]
) -> None:
    api.answers = [(code, {"message": "because"})]
    with pytest.raises(error, match="because"):
        kube.namespace_labels("team")


def test_an_answer_that_is_no_status_is_an_error_too(api: Api, kube: Kubernetes) -> None:
    api.answers = [(502, b"<html>")]
    with pytest.raises(cluster.UnreachableError, match="status 502"):
        kube.namespace_labels("team")


def test_an_api_server_that_is_down_is_unreachable() -> None:
    connection: Any = client.ApiClient(client.Configuration(host="http://127.0.0.1:9"))
    with pytest.raises(cluster.UnreachableError, match="does not answer"):
        Kubernetes(connection).get(SERVER, "team", "one")
    connection.close()


def test_what_is_absent_is_none_and_deleting_it_is_no_error(api: Api, kube: Kubernetes) -> None:
    api.answers = [(404, {})] * 4 + [(409, {})]
    assert kube.get(SERVER, "team", "one") is None
    assert kube.pod("team", "one") is None
    assert kube.config_map("team", "one") is None
    kube.delete_pod("team", "one", "uid")
    kube.delete_pod("team", "one", "uid")
    assert api.requests[-1][3]["preconditions"] == {"uid": "uid"}


def test_lists_are_read_page_by_page(api: Api, kube: Kubernetes) -> None:
    api.answers = [
        (200, {"items": [{"a": 1}], "metadata": {"continue": "next"}}),
        (200, {"items": [{"a": 2}], "metadata": {}}),
    ]
    assert kube.list(SERVER) == [{"a": 1}, {"a": 2}]
    assert "continue=next" in api.requests[1][1]


@pytest.mark.requirement("F-08")
def test_a_status_is_patched_for_the_very_object_that_was_read(api: Api, kube: Kubernetes) -> None:
    api.answers = [(200, {})] * 2
    kube.patch_status(SERVER, {"metadata": {"namespace": "team", "name": "one", "uid": "u"}}, {"summary": "x"})
    kube.patch_status(POLICY, {"metadata": {"name": "cap", "uid": "u"}}, {"summary": None})
    assert api.requests == [
        (
            "PATCH",
            "/apis/toolman.dev/v1alpha1/namespaces/team/mcpservers/one/status",
            "application/merge-patch+json",
            {"metadata": {"uid": "u"}, "status": {"summary": "x"}},
        ),
        (
            "PATCH",
            "/apis/toolman.dev/v1alpha1/toolpolicies/cap/status",
            "application/merge-patch+json",
            {"metadata": {"uid": "u"}, "status": {"summary": None}},
        ),
    ]


def test_a_config_map_is_applied_as_our_field_manager(api: Api, kube: Kubernetes) -> None:
    api.answers = [(200, {})]
    kube.apply_config_map({"metadata": {"namespace": "team", "name": "one"}})
    method, path, kind, _ = api.requests[0]
    assert (method, kind) == ("PATCH", "application/apply-patch+yaml")
    assert path == "/api/v1/namespaces/team/configmaps/one?fieldManager=mcp-operator&force=true"


def test_a_pod_with_a_field_that_does_not_exist_is_refused_by_the_api_server(api: Api, kube: Kubernetes) -> None:
    api.answers = [(201, {}), (400, {"message": 'strict decoding error: unknown field "spec.restartPolici"'})]
    kube.create_pod({"metadata": {"namespace": "team", "name": "one"}})
    assert "fieldValidation=Strict" in api.requests[0][1]
    with pytest.raises(cluster.InvalidError, match="restartPolici"):
        kube.create_pod({"metadata": {"namespace": "team", "name": "one"}}, dry_run=True)
