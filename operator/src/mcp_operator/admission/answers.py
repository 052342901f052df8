"""What is asked and answered: one AdmissionReview (admission.k8s.io/v1) in and out. Pure."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

API_VERSION: Final = "admission.k8s.io/v1"
WARNING_LENGTH: Final = 250
"""Characters: the API server may cut what is longer than 256."""


class MalformedError(Exception):
    """What was sent is no AdmissionReview."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asks the API server to do.

    Attributes:
        uid: Of the question.
        operation: ``CREATE`` or ``UPDATE``.
        namespace: Where; the object's metadata need not say so yet.
        object: As it would be stored.
        before: As it is stored; empty at creation.
    """

    uid: str
    operation: str
    namespace: str
    object: Mapping[str, Any]
    before: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Whether it may be done.

    Attributes:
        denied: Why not, and what to do; empty when it may.
        patch: JSON patch (RFC 6902) of the object.
        warnings: A sentence each.
    """

    denied: str = ""
    patch: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[str] = ()


class Judge(Protocol):
    """Answers one webhook's questions. Called in threads."""

    def __call__(self, request: Request, /) -> Answer:
        """Decide. Reads the cluster and writes nothing."""


def read(body: bytes) -> Request:
    """Read a question.

    Raises:
        MalformedError: It is none.
    """
    try:
        request = json.loads(body)["request"]
        return Request(
            uid=str(request["uid"]),
            operation=str(request["operation"]),
            namespace=str(request.get("namespace") or ""),
            object=dict(request.get("object") or {}),
            before=dict(request.get("oldObject") or {}),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise MalformedError("not an AdmissionReview") from None


def write(uid: str, answer: Answer) -> dict[str, Any]:
    """Write an answer."""
    response: dict[str, Any] = {"uid": uid, "allowed": not answer.denied}
    if answer.denied:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": printable(answer.denied)}
    elif answer.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(list(answer.patch)).encode()).decode()
    if answer.warnings:
        response["warnings"] = [printable(text, WARNING_LENGTH) for text in answer.warnings]
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
