"""What a request's span says of its way through the engine: the queue, the prompt, the tokens."""

import time

from opentelemetry import trace

from penstock.inference.domain.generation import Finish
from penstock.telemetry import names

SCOPE = "penstock.inference"


def tell_phases(finish: Finish) -> None:
    """Give the current span what was used, and a child for each phase of the answer, which has just ended."""
    span = trace.get_current_span()
    if not span.is_recording():
        return
    span.set_attributes(
        {
            names.GEN_AI_INPUT_TOKENS: finish.input_length,
            names.GEN_AI_OUTPUT_TOKENS: finish.generated_tokens,
            names.GEN_AI_FINISH_REASONS: [finish.reason.value],
        }
    )
    tracer, end = trace.get_tracer(SCOPE), time.time_ns()
    start = end - _ns(finish.queued_s + finish.inference_s)
    for name, seconds in (
        ("queue", finish.queued_s),
        ("prefill", finish.prefill_s),
        ("decode", finish.inference_s - finish.prefill_s),
    ):
        then = start + _ns(seconds)
        tracer.start_span(name, start_time=start).end(then)
        start = then


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
