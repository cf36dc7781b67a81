"""What a request's span says of its way through the engine."""

from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from penstock.inference.adapters.http.phases import tell_phases
from penstock.inference.domain.generation import Finish, FinishReason

FINISH = Finish(
    reason=FinishReason.LENGTH,
    text="a canary sings",
    generated_tokens=5,
    input_length=7,
    seed=None,
    queued_s=1.0,
    inference_s=3.0,
    prefill_s=0.5,
)


def test_prompt_and_tokens_are_bars_one_after_the_other_and_the_queue_a_wait_before(
    spans: InMemorySpanExporter,
) -> None:
    with trace.get_tracer("t").start_as_current_span("POST /") as span:
        tell_phases(FINISH)
    *phases, server = spans.get_finished_spans()
    assert [phase.name for phase in phases] == ["prefill", "decode"]
    lasted = [round(((p.end_time or 0) - (p.start_time or 0)) / 1e9, 3) for p in phases]
    assert lasted == [0.5, 2.5]
    assert phases[0].end_time == phases[1].start_time
    assert dict(phases[0].attributes or {}) == {"penstock.wait_ms": 1000}
    assert [p.parent for p in phases] == [span.get_span_context()] * 2
    assert dict(server.attributes or {}) == {
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.finish_reasons": ("length",),
    }
    assert "canary" not in "".join(each.to_json() for each in (*phases, server))


def test_without_a_trace_nothing_is_told(spans: InMemorySpanExporter) -> None:
    tell_phases(FINISH)
    assert not spans.get_finished_spans()
