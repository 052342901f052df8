"""The chart's roles, from the rights that the operator uses (``mcp_operator.access``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mcp_operator import access
from mcp_operator.access import Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mcp_operator.access import Access

HEADER = """{{- /* Made by scripts/generate from mcp_operator.access: change that, then run it. */ -}}"""
NAMED = """  name: {{ .Release.Name }}
  {{- include "mcp-operator.metadata" . | nindent 2 }}"""
PLACED = """  name: {{{{ $.Release.Name }}}}
  namespace: {namespace}
  {{{{- include "mcp-operator.metadata" $ | nindent 2 }}}}"""
OWN = "{{ $.Release.Namespace }}"


def template() -> str:
    """Give the text of the template."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield HEADER
    yield from _head("ClusterRole", NAMED)
    yield "rules:"
    yield from _rules({Scope.CLUSTER})
    yield "{{- if not .Values.watchNamespaces }}"
    yield from _rules({Scope.SERVED})
    yield "{{- end }}"
    yield "---"
    yield from _binding("ClusterRole", NAMED)
    yield "{{- range .Values.watchNamespaces }}"
    yield from _role("{{ . }}", {Scope.SERVED})
    yield "{{- end }}"
    yield from _role(OWN, {Scope.OWN}, "-own")
    yield "# Events about what has no namespace are in this one."
    yield from _role("default", {Scope.DEFAULT}, "-events")


def _role(namespace: str, scopes: Collection[Scope], suffix: str = "") -> Iterator[str]:
    """Give a Role and its binding. The suffix keeps it apart from others, should more than one be in a namespace."""
    metadata = PLACED.format(namespace=namespace).replace("{{ $.Release.Name }}", "{{ $.Release.Name }}" + suffix, 1)
    yield "---"
    yield from _head("Role", metadata)
    yield "rules:"
    yield from _rules(scopes)
    yield "---"
    yield from _binding("Role", metadata, suffix)


def _head(kind: str, metadata: str) -> Iterator[str]:
    yield from ("apiVersion: rbac.authorization.k8s.io/v1", f"kind: {kind}", "metadata:", metadata)


def _binding(kind: str, metadata: str, suffix: str = "") -> Iterator[str]:
    yield from _head(f"{kind}Binding", metadata)
    yield from ("roleRef:", "  apiGroup: rbac.authorization.k8s.io", f"  kind: {kind}")
    yield "  name: {{ $.Release.Name }}" + suffix
    yield from ("subjects:", "- kind: ServiceAccount", "  name: {{ $.Release.Name }}", f"  namespace: {OWN}")


def _rules(scopes: Collection[Scope]) -> Iterator[str]:
    """Give the rules, those that only one feature of the chart needs where it is enabled."""
    rights = [right for right in access.every() if right.scope in scopes]
    for feature in sorted({right.feature for right in rights}):
        if feature:
            yield f"{{{{- if .Values.{feature}.enabled }}}}"
        yield from _rules_of(right for right in rights if right.feature == feature)
        if feature:
            yield "{{- end }}"


def _rules_of(rights: Iterable[Access]) -> Iterator[str]:
    for rule in access.rules(rights):
        for index, (field, values) in enumerate(rule.items()):
            yield f"{'  ' if index else '- '}{field}: {json.dumps(values)}"
