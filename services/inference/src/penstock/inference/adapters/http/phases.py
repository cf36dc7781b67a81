"""What a request's span says of its way through the engine: the prompt, after its wait, and the tokens."""

import time

from opentelemetry import trace

from penstock.inference.domain.generation import Finish
from penstock.telemetry import names
from penstock.telemetry.spans import tracer_of

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
    tracer, end = tracer_of(SCOPE), time.time_ns()
    start = end - _ns(finish.inference_s)
    prompt_read = start + _ns(finish.prefill_s)
    waited = {names.PENSTOCK_WAIT_MS: round(finish.queued_s * 1000)}
    tracer.start_span("prefill", attributes=waited, start_time=start).end(prompt_read)
    tracer.start_span("decode", start_time=prompt_read).end(end)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
