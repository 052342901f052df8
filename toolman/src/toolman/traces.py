"""OpenTelemetry traces of tool calls: one span a call, under the caller's own, shown to the server as its parent.

An extra (``mcp-operator-toolman[traces]``) that is used when the environment names where traces go, as OpenTelemetry's
own variables have it. Without it a caller's ``traceparent`` goes through ``_meta`` as it is.

Source: modelcontextprotocol.io, SEP-414 (``traceparent`` and ``tracestate`` in ``_meta``); w3.org/TR/trace-context.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import msgspec

from toolman import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CARRIED = ("traceparent", "tracestate")


class TracesError(Exception):
    """Traces are wanted and cannot be made; the text says what to install."""


class Span:
    """One call on its way.

    Attributes:
        meta: Members that replace those of the same names in the call's ``_meta``.
    """

    __slots__ = ("_span", "meta")

    def __init__(self, span: OtelSpan, meta: Mapping[str, bytes]) -> None:
        self._span = span
        self.meta = meta

    def end(self, outcome: str) -> None:
        """End it."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - there is a span, so it is there

        self._span.set_attribute("toolman.outcome", outcome)
        if outcome == "error":
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Traces:
    """Makes spans."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("toolman", __version__)

    def start(self, server: str, tool: str, meta: Mapping[str, bytes | Raw]) -> Span:
        """Begin a call's span, below the one that its ``_meta`` names."""
        from opentelemetry.trace import SpanKind, set_span_in_context  # noqa: PLC0415 - an extra
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        propagator = TraceContextTextMapPropagator()
        parent = propagator.extract({key: text for key in CARRIED if (text := _text(meta.get(key))) is not None})
        attributes = {
            "rpc.system": "mcp",
            "mcp.method.name": "tools/call",
            "gen_ai.tool.name": tool,
            "toolman.server": server,
        }
        span = self._tracer.start_span(f"tools/call {tool}", parent, SpanKind.CLIENT, attributes)
        carrier: dict[str, str] = {}
        propagator.inject(carrier, set_span_in_context(span))
        return Span(span, {key: msgspec.json.encode(value) for key, value in carrier.items()})

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


def open_traces(environment: Mapping[str, str]) -> Traces | None:
    """Give the means to make spans, None if the environment does not say where they go.

    Raises:
        TracesError: It does, and the extra is not installed.
    """
    if not any(environment.get(name) for name in ENDPOINTS) or environment.get("OTEL_SDK_DISABLED") == "true":
        return None
    if any(
        importlib.util.find_spec(name) is None
        for name in ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter")
    ):
        raise TracesError("traces need more packages: pip install 'mcp-operator-toolman[server,traces]'")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({"service.name": environment.get("OTEL_SERVICE_NAME", "toolman")})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


def _text(raw: bytes | Raw | None) -> str | None:
    try:
        return None if raw is None else msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return None
