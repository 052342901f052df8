"""Things in the cluster under test that go when the test ends."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl import Kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator


def cluster(namespace: str = "default") -> Kubectl:
    """Give kubectl for the cluster under test.

    Raises:
        RuntimeError: Nobody said which cluster that is.
    """
    try:
        return Kubectl(Path(os.environ["TOOLMAN_KUBECONFIG"]), namespace)
    except KeyError:
        raise RuntimeError("TOOLMAN_KUBECONFIG is not set: run scripts/test e2e, or . <(scripts/lab env)") from None


@contextlib.contextmanager
def namespace(prefix: str, **labels: str) -> Iterator[Kubectl]:
    """Make a namespace of its own, with the Pod Security Standard ``restricted``, and remove it in the end."""
    name = f"{prefix}-{secrets.token_hex(3)}"
    metadata = {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted", **labels}}
    kubectl = cluster(name)
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield kubectl
    finally:
        kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
