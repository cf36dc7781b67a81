"""A request of which only spans are left: the log keeps it no more, or cannot be read."""

from collections.abc import Sequence

from penstock.observer.domain.requests import Failure, Request, begun
from penstock.observer.domain.spans import Span, Trace
from penstock.telemetry import names


def request_in(request_id: str, traces: Sequence[Trace]) -> Request | None:
    """Return what the spans of a request tell of it, or None if there is none.

    It is over when its outermost span has come, since spans are exported when they end; an error of that one
    is the request's.
    """
    spans = [span for trace in traces for span in trace.spans if span.request_id == request_id]
    owner = next((span.tenant for span in spans if span.tenant), "")
    request = begun(request_id, owner)
    if not spans or request is None:
        return None
    request.trace_id = traces[0].trace_id
    request.model = str(_told(spans, names.GEN_AI_REQUEST_MODEL) or "")
    request.prompt_tokens = _count(_told(spans, names.GEN_AI_INPUT_TOKENS))
    request.completion_tokens = _count(_told(spans, names.GEN_AI_OUTPUT_TOKENS))
    request.epoch = _count(_told(spans, names.PENSTOCK_EPOCH)) or 0
    firsts = [
        event.time_ns for span in spans for event in span.events if event.name == names.EVENT_FIRST_TOKEN
    ]
    request.first_text_ms = min(firsts) // 1_000_000 if firsts else None
    outermost = next((span for span in spans if span.kind == "server"), None)
    if outermost is not None:
        request.end("failed" if outermost.error else "completed", outermost.end_ns // 1_000_000)
        request.error = Failure(outermost.error, "See its trace.") if outermost.error else None
    return request


def _told(spans: Sequence[Span], name: str) -> object:
    return next((span.attributes[name] for span in spans if name in span.attributes), None)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None
