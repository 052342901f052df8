from __future__ import annotations

import json

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from toolman import traces

pytestmark = pytest.mark.requirement("T-30")

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def made(exporter: InMemorySpanExporter) -> traces.Traces:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return traces.Traces(provider)


def test_a_call_is_a_span_below_the_callers_and_above_the_servers(
    made: traces.Traces, exporter: InMemorySpanExporter
) -> None:
    meta = {"traceparent": msgspec.json.encode(f"00-{TRACE}-b7ad6b7169203331-01"), "x": b"1"}
    span = made.start("git", "log", meta)
    span.end("ok")
    (found,) = exporter.get_finished_spans()
    assert found.context is not None
    assert found.parent is not None
    assert f"{found.context.trace_id:032x}" == TRACE
    assert f"{found.parent.span_id:016x}" == "b7ad6b7169203331"
    shown = json.loads(span.meta["traceparent"])
    assert shown == f"00-{TRACE}-{found.context.span_id:016x}-01"
    assert (found.attributes or {})["toolman.server"] == "git"


@pytest.mark.parametrize("parent", [b'"nonsense"', b"1", b"null", None])
def test_a_call_without_a_readable_parent_begins_a_trace(
    made: traces.Traces, exporter: InMemorySpanExporter, parent: bytes | None
) -> None:
    made.start("git", "log", {} if parent is None else {"traceparent": parent}).end("error")
    (found,) = exporter.get_finished_spans()
    assert found.parent is None
    assert not found.status.is_ok


@pytest.mark.parametrize(
    "environment", [{}, {traces.ENDPOINTS[0]: ""}, {traces.ENDPOINTS[0]: "http://x", "OTEL_SDK_DISABLED": "true"}]
)
def test_without_a_place_for_them_there_are_no_traces(environment: dict[str, str]) -> None:
    assert traces.open_traces(environment) is None


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(traces.TracesError, match=r"pip install 'mcp-operator-toolman\[server,traces\]'"):
        traces.open_traces({traces.ENDPOINTS[0]: "http://127.0.0.1:1"})


def test_with_a_place_for_them_traces_can_be_opened_and_closed() -> None:
    opened = traces.open_traces({traces.ENDPOINTS[1]: "http://127.0.0.1:1/v1/traces"})
    assert opened is not None
    opened.close()
