from __future__ import annotations

import http.server
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubernetes import client
from mcp_operator import access, cluster
from mcp_operator.cluster import AGENT, POLICY, SERVER
from mcp_operator.kube import Kubernetes, connect
from mcp_operator.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Api:
    """An API server that answers what a test says; what the real one answers is seen in tests/e2e."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str, str, Any]] = []
        self.tokens: list[str] = []
        self.headers: dict[str, str] = {}


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
            api.tokens.append(self.headers.get("Authorization") or "")
            code, answer = api.answers.pop(0)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(code)
            for header, value in api.headers.items():
                self.send_header(header, value)
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


@pytest.mark.requirement("O-32")
def test_a_namespace_that_is_being_deleted_is_told_from_one_that_may_not_be_used(api: Api, kube: Kubernetes) -> None:
    going = {"message": "forbidden", "details": {"causes": [{"reason": "NamespaceTerminating", "field": "x"}]}}
    api.answers = [(403, going), (200, {"metadata": {"labels": {"a": "b"}, "deletionTimestamp": "now"}})]
    with pytest.raises(cluster.EndingError, match="forbidden"):
        kube.create_pod({"metadata": {"namespace": "team", "name": "one"}})
    with pytest.raises(cluster.EndingError) as caught:
        kube.namespace_labels("team")
    assert caught.value.labels == {"a": "b"}


def test_only_the_layers_of_a_config_map_as_it_was_read_are_replaced_and_its_pod_is_told(
    api: Api, kube: Kubernetes
) -> None:
    api.answers = [(200, {"items": [{"n": 1}]}), (200, {"items": None}), (200, {}), (200, {})]
    assert kube.agent_config_maps("team") == [{"n": 1}]
    assert kube.agent_pods("team") == []
    place = {"namespace": "team", "name": "one"}
    kube.replace_data({"metadata": {**place, "resourceVersion": "7"}}, {"a": "b"})
    kube.tell_pod({"metadata": {**place, "uid": "u"}}, {"c": "d"})
    assert "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dmcp-operator%2Ctoolman.dev%2Fagent" in api.requests[0][1]
    assert [request[3] for request in api.requests[2:]] == [
        {"metadata": {"resourceVersion": "7"}, "data": {"a": "b"}},
        {"metadata": {"uid": "u", "annotations": {"c": "d"}}},
    ]


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


@pytest.fixture
def connected(kube: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubernetes:
    """Give what a Pod of a service account has, whose token is ``first``."""
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_bytes(certificate())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    made = connect(account=tmp_path)
    made.requests._api.configuration.host = kube.requests._api.configuration.host
    return made


@pytest.mark.requirement("O-30")
def test_a_busy_api_server_says_when_to_come_back_and_is_not_waited_for(api: Api, connected: Kubernetes) -> None:
    api.headers = {"Retry-After": "17"}
    api.answers = [(429, {"message": "too many"}), (503, b"")]
    for _ in range(2):
        with pytest.raises(cluster.UnreachableError) as caught:
            connected.get(SERVER, "team", "one")
        assert caught.value.retry_after == 17
    assert len(api.requests) == 2


@pytest.mark.requirement("O-30")
def test_a_token_that_was_replaced_is_used_from_the_next_request_on(
    api: Api, connected: Kubernetes, tmp_path: Path
) -> None:
    api.answers = [(200, {}), (401, {"message": "expired"}), (200, {})]
    connected.get(SERVER, "team", "one")
    with pytest.raises(cluster.ForbiddenError, match="expired"):
        connected.get(SERVER, "team", "one")
    (tmp_path / "new").write_text("second")
    (tmp_path / "new").rename(tmp_path / "token")  # as the kubelet does it
    connected.get(SERVER, "team", "one")
    assert api.tokens == ["Bearer first", "Bearer first", "Bearer second"]


def certificate() -> bytes:
    """Give a certificate that nothing is signed by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.requirement("O-30")
def test_a_watch_gives_its_events_line_by_line_and_says_when_it_cannot_go_on(api: Api, kube: Kubernetes) -> None:
    lines = b"".join(json.dumps({"type": "ADDED", "object": {"n": number}}).encode() + b"\n" for number in range(3))
    api.answers = [(200, lines), (410, {"message": "too old"}), (200, b'{"type": "ADD')]
    events = list(kube.requests.stream(access.WATCH_PODS, "team", {"watch": "true"}))
    assert [event["object"]["n"] for event in events] == [0, 1, 2]
    assert api.requests[0][1] == "/api/v1/namespaces/team/pods?watch=true"
    with pytest.raises(cluster.ExpiredError, match="too old"):
        list(kube.requests.stream(access.WATCH_PODS, "", {}))
    with pytest.raises(cluster.UnreachableError, match="broke off"):
        list(kube.requests.stream(access.WATCH_PODS, "", {}))


@pytest.mark.requirement("O-34")
def test_only_what_is_served_is_listed(api: Api, kube: Kubernetes) -> None:
    served = Kubernetes(kube.requests._api, ("a", "b"))
    api.answers = [(200, {"items": [{"n": n}], "metadata": {}}) for n in range(4)]
    assert served.list(SERVER) == [{"n": 0}, {"n": 1}]
    served.list(SERVER, "a")
    served.list(POLICY)
    paths = [request[1].partition("?")[0].removeprefix("/apis/toolman.dev/v1alpha1/") for request in api.requests]
    assert paths == ["namespaces/a/mcpservers", "namespaces/b/mcpservers", "namespaces/a/mcpservers", "toolpolicies"]


@pytest.mark.requirement("O-34")
@pytest.mark.parametrize(
    "name", ["../../other/mcpagents/dev", "dev/status", "..", ".", "%2e%2e", "dev?watch=1", "a\nb"]
)
def test_a_name_never_leads_elsewhere(api: Api, kube: Kubernetes, name: str) -> None:
    assert kube.get(AGENT, "team", name) is None
    assert api.requests == []
    with pytest.raises(cluster.NotFoundError):
        kube.namespace_labels(name)
    assert kube.secret(name, "own") is None
    assert api.requests == []


def test_names_of_roles_may_have_colons(api: Api, kube: Kubernetes) -> None:
    api.answers = [(200, {"metadata": {"name": "system:a.b-c"}})]
    kube.get(POLICY, "", "system:a.b-c")
    assert api.requests[0][1] == "/apis/toolman.dev/v1alpha1/toolpolicies/system%3Aa.b-c"


@pytest.mark.requirement("O-35")
def test_every_request_is_noted_and_one_without_an_answer_too(api: Api, kube: Kubernetes) -> None:
    metrics = Metrics()
    watched = Kubernetes(kube.requests._api, (), metrics)
    api.answers = [(404, {})]
    watched.pod("team", "one")
    assert metrics.requests.value("get", "pods", "404") == 1
    connection: Any = client.ApiClient(client.Configuration(host="http://127.0.0.1:9"))
    with pytest.raises(cluster.UnreachableError):
        Kubernetes(connection, (), metrics).pod("team", "one")
    assert metrics.requests.value("get", "pods", "0") == 1
    connection.close()
