"""What a trace tells of the work on a document.

It goes on in the trace of the request that queued it, unless that queued many: then each has a trace of its
own, with a link to the request.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind

from penstock.ingestion.domain.model import Job
from penstock.telemetry import names
from penstock.telemetry.spans import context_of, current, inner_span, link_to, tracer_of, within
from penstock.telemetry.work_context import WorkContext, set_work_context

SCOPE = "penstock.ingestion"


@contextmanager
def work_on(job: Job) -> Iterator[Span]:
    """Measure one attempt at a document, after the wait for a worker; it links to the upload of its file."""
    document = job.document
    set_work_context(WorkContext(document_id=document.id, tenant=document.tenant))
    tracer, now = tracer_of(SCOPE), time.time_ns()
    parent, headers = context_of(job.traceparent), [job.uploaded]
    if document.batch_id:
        parent, headers = Context(), [job.uploaded, job.traceparent]
    links = [link for header in headers if (link := link_to(header))]
    if document.attempt == 1:
        start = min(now, job.queued_ms * 1_000_000)
        waited = tracer.start_span("wait document", parent, SpanKind.INTERNAL, start_time=start)
        waited.end(now)
        parent = within(waited) if document.batch_id else parent
    attempt = {names.PENSTOCK_ATTEMPT: document.attempt}
    with current(tracer.start_span("process document", parent, SpanKind.CONSUMER, attempt, links)) as span:
        yield span


def step(name: str) -> AbstractContextManager[Span]:
    """Measure one step of the work."""
    return inner_span(SCOPE, name)
