"""Spans around a hop."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from penstock.messages.envelope import Envelope
from penstock.streaming.ports import Partition, Record
from penstock.streaming.tracing import LINK_HEADER, Spans

NOW = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BEFORE = "00-4bf92f3577b34da6a3ce929d0e0e4736-1f2e3d4c5b6a7988-01"


def test_a_replayed_record_has_its_own_trace_and_links_to_the_one_before() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider.get_tracer("test"), "group")
    envelope = Envelope(id="i", type="t", source="/s", time_ms=1, subject="r", tenant="t", traceparent=NOW)
    where = Partition("chat.requests", 3)
    spans.process(envelope, Record(where, 7, b"r", b"{}", [(LINK_HEADER, BEFORE.encode())], 0)).end()
    spans.process(envelope, Record(where, 8, b"r", b"{}", [], 0)).end()
    replayed, plain = exporter.get_finished_spans()
    assert replayed.name == "process chat.requests"
    assert f"{replayed.context.trace_id:032x}" == NOW.split("-")[1]
    assert [f"{link.context.trace_id:032x}" for link in replayed.links] == [BEFORE.split("-")[1]]
    assert not plain.links
