"""The Kubernetes API over the ``kubernetes`` package: the only module that knows it.

Requests are made from worker threads, so a slow API server never stops the watching. Objects stay plain JSON: typed
models of the package would drop fields that are newer than it. Nothing is retried here: the queue knows what can wait.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

import msgspec
import urllib3
from kubernetes import client, config

from mcp_operator import cluster
from mcp_operator.kube_http import Connection
from mcp_operator.kube_leases import LeaseCalls
from mcp_operator.kube_objects import ObjectCalls
from mcp_operator.kube_owned import OwnedCalls
from mcp_operator.kube_references import ReferenceCalls
from mcp_operator.kube_reviews import ReviewCalls
from mcp_operator.kube_secrets import SecretCalls
from mcp_operator.kube_webhooks import WebhookCalls
from mcp_operator.kube_workloads import WorkloadCalls

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mcp_operator.access import Access
    from mcp_operator.cluster import Manifest

CONNECT_TIMEOUT: Final = 5.0
"""Seconds: the API server is near, or it is down."""
READ_TIMEOUT: Final = 30.0
"""Seconds for one answer; longer than an admission webhook may take."""
WATCH_SILENCE: Final = 330.0
"""Seconds without a line of a watch, which the API server is asked to end before that."""
_ANSWER: Final = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)
_LINES: Final = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=WATCH_SILENCE)
CONNECTIONS: Final = 32
"""Kept open; at least as many as there are worker threads."""
ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.:-]*[a-z0-9])?")
"""DNS names, and of roles also colons: nothing with a slash, and no dots alone, which would lead elsewhere."""

_TERMINATING: Final = "NamespaceTerminating"
"""As the API server names the cause."""
_ERRORS: dict[int, type[cluster.ClusterError]] = {
    400: cluster.InvalidError,
    401: cluster.ForbiddenError,
    403: cluster.ForbiddenError,
    404: cluster.NotFoundError,
    409: cluster.ConflictError,
    410: cluster.ExpiredError,
    413: cluster.InvalidError,
    422: cluster.InvalidError,
    429: cluster.UnreachableError,
}


class Observer(Protocol):
    """Hears of every request."""

    def requested(self, right: Access, code: int, seconds: float) -> None:
        """Take note of one; ``code`` is 0 when there was no answer."""


class Unobserved:
    """Nobody listens."""

    def requested(self, right: Access, code: int, seconds: float) -> None:
        """Do nothing."""


class Requests:
    """Requests to one API server, with the rights of :mod:`mcp_operator.access`. Thread-safe.

    Args:
        api: The connection.
        observer: Hears of every request.
    """

    def __init__(self, api: client.ApiClient, observer: Observer) -> None:
        self._api = api
        self._connection = Connection(api)
        self._observer = observer

    def __call__(
        self,
        right: Access,
        namespace: str = "",
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
    ) -> Manifest:
        """See :class:`mcp_operator.kube_calls.Request`."""
        response = self._send(right, path(right, namespace, name), query, body)
        answer: Manifest = msgspec.json.decode(_checked(response))
        return answer

    def stream(self, right: Access, namespace: str, query: Mapping[str, str]) -> Iterator[Manifest]:
        """Give what a watch tells, until the API server ends it.

        Raises:
            cluster.ClusterError: It ended otherwise; :class:`cluster.ExpiredError` when it cannot go on from there.
        """
        for line in self.lines(right, namespace, query=query):
            try:
                yield msgspec.json.decode(line)
            except ValueError as error:
                raise cluster.UnreachableError(f"a watch of {right.resource.full} broke off: {error}") from error

    def lines(
        self,
        right: Access,
        namespace: str,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:
        """Give an answer line by line while it comes, as of a watch or a log.

        Raises:
            cluster.ClusterError: There is none, or it broke off.
        """
        response = self._send(right, path(right, namespace, name), query, streaming=True)
        try:
            if response.status not in range(200, 300):
                _checked(response)
            yield from response
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise cluster.UnreachableError(f"{right.verb} of {right.resource.full} broke off: {error}") from error
        finally:
            response.close()

    def _send(
        self,
        right: Access,
        where: str,
        query: Mapping[str, str] | None,
        body: Manifest | None = None,
        *,
        streaming: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": right.accept, "Content-Type": right.content}
        data = None if body is None else msgspec.json.encode(body)
        timeout = _LINES if streaming else _ANSWER
        started, code = time.monotonic(), 0
        try:
            response = self._connection.send(
                right.method, where, query or {}, headers, data, timeout, streaming=streaming
            )
            code = response.status
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise cluster.UnreachableError(f"the Kubernetes API does not answer: {error}") from error
        finally:
            self._observer.requested(right, code, time.monotonic() - started)
        return response


class Kubernetes(
    ObjectCalls, WorkloadCalls, OwnedCalls, ReferenceCalls, SecretCalls, LeaseCalls, ReviewCalls, WebhookCalls
):
    """Our narrow view of one cluster. Thread-safe.

    Args:
        api: The connection.
        namespaces: Those that are served; empty for all.
        observer: Hears of every request.
    """

    def __init__(
        self, api: client.ApiClient, namespaces: Collection[str] = (), observer: Observer | None = None
    ) -> None:
        self.requests = Requests(api, observer or Unobserved())
        super().__init__(self.requests, namespaces)


class _Account:
    """The token of a Pod's service account, which the kubelet replaces every hour or so."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = (0, 0)

    def refresh(self, configuration: client.Configuration) -> None:
        """Read the token when its file is another one: looking costs less than the request that it is for."""
        found = self._file.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            configuration.api_key["BearerToken"] = f"Bearer {self._file.read_text().strip()}"
            self._stamp = stamp


def connect(namespaces: Collection[str] = (), observer: Observer | None = None, account: Path = ACCOUNT) -> Kubernetes:
    """Connect by the Pod's service account or, outside a cluster, by the kubeconfig that ``KUBECONFIG`` names.

    Args:
        namespaces: Those that are served; empty for all.
        observer: Hears of every request.
        account: Where a Pod has its service account.

    Raises:
        cluster.ClusterError: There is neither.
    """
    configuration = client.Configuration()
    loaders: Any = config  # they have no types
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            _in_cluster(configuration, account)
        elif os.environ.get("KUBECONFIG"):
            loaders.load_kube_config(os.environ["KUBECONFIG"], client_configuration=configuration)
        else:  # never somebody's ~/.kube/config unasked
            raise cluster.ClusterError("not in a cluster, and KUBECONFIG is not set")
    except (config.ConfigException, OSError) as error:
        raise cluster.ClusterError(f"no Kubernetes cluster is configured: {error}") from error
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.retries = False  # or the package would sleep, in a worker, for as long as Retry-After says
    return Kubernetes(client.ApiClient(configuration), namespaces, observer)


def connect_as_person(kubeconfig: str = "", context: str = "") -> tuple[Kubernetes, str]:
    """Connect with the kubeconfig, the context and so the rights with which a person uses kubectl.

    Args:
        kubeconfig: Path of the file; without, what kubectl would take.
        context: Name of a context in it; without, its current one.

    Returns:
        The cluster, and the context's namespace.

    Raises:
        cluster.ClusterError: There is none.
    """
    configuration = client.Configuration()
    loaders: Any = config  # they have no types
    place = {"config_file": kubeconfig or None}
    try:
        contexts, current = loaders.list_kube_config_contexts(**place)
        chosen = next((each for each in contexts if each["name"] == context), None) if context else current
        if chosen is None:
            known = ", ".join(str(each["name"]) for each in contexts)
            raise cluster.ClusterError(f"the kubeconfig has no context {context!r}; it has {known}")
        loaders.load_kube_config(**place, context=chosen["name"], client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        text = f"no Kubernetes cluster is configured: {error}; set KUBECONFIG or give --kubeconfig"
        raise cluster.ClusterError(text) from error
    configuration.retries = False
    namespace = (chosen.get("context") or {}).get("namespace") or "default"
    return Kubernetes(client.ApiClient(configuration)), str(namespace)


def _in_cluster(configuration: Any, account: Path) -> None:  # noqa: ANN401 - the package has no types
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    configuration.host = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    configuration.ssl_ca_cert = str(account / "ca.crt")
    token = _Account(account / "token")
    token.refresh(configuration)
    configuration.refresh_api_key_hook = token.refresh


def path(right: Access, namespace: str = "", name: str = "") -> str:
    """Give the path of an object, or of all of a namespace or of the cluster when there is no name.

    Raises:
        cluster.NotFoundError: No object has such a name: some come from people before anybody has looked at them.
    """
    resource = right.resource
    for given in (namespace, name):
        if given and not _NAME.fullmatch(given):
            raise cluster.NotFoundError(f"{given!r} is the name of nothing")
    parts = [resource.root]
    if namespace:
        parts.append(f"namespaces/{quote(namespace, safe='')}")
    if resource.plural:
        parts.append(resource.plural)
    if name:
        parts.append(quote(name, safe=""))
    if resource.sub:
        parts.append(resource.sub)
    return "/".join(parts)


def _checked(response: urllib3.BaseHTTPResponse) -> bytes:
    """Give the answer's body.

    Raises:
        cluster.ClusterError: It is not what was asked for.
    """
    data = response.data
    if response.status in range(200, 300):
        return data
    kind = _ERRORS.get(response.status, cluster.UnreachableError)
    said = _said(data)
    if kind is cluster.ForbiddenError and _is_ending(said):
        kind = cluster.EndingError
    error = kind(str(said.get("message") or f"the Kubernetes API answered with status {response.status}"))
    if isinstance(error, cluster.UnreachableError):
        wait = str(response.headers.get("Retry-After") or "")
        error.retry_after = float(wait) if wait.isdecimal() else None
    raise error


def _said(data: bytes) -> Manifest:
    """Give the status that an answer is; empty where it is none."""
    try:
        parsed: Any = msgspec.json.decode(data)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _is_ending(said: Manifest) -> bool:
    """Tell whether something was refused because the namespace that it would be in is being deleted."""
    causes = (said.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == _TERMINATING for cause in causes)
