"""Spans of what is asked of databases, by OpenTelemetry's conventions for their clients."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from penstock.telemetry import names
from penstock.telemetry.spans import fail, tracer_of

SCOPE = "penstock.database"


@contextmanager
def database_span(
    system: str, operation: str, *, namespace: str = "", collection: str = ""
) -> Iterator[None]:
    """Measure the block as one operation on a database, if it belongs to a trace.

    `system` is a well-known name (`sqlite`, `postgresql`, `qdrant`). Statements, and what is in them, are
    never told. Within the block the current span stays what it is: what a row keeps of it, and what comes of
    that, belongs to the request, not to the transaction.
    """
    if not trace.get_current_span().is_recording():
        yield
        return
    given = (
        (names.DB_SYSTEM, system),
        (names.DB_OPERATION, operation),
        (names.DB_NAMESPACE, namespace),
        (names.DB_COLLECTION, collection),
    )
    target = collection or namespace or system
    attributes = {name: value for name, value in given if value}
    span = tracer_of(SCOPE).start_span(f"{operation} {target}", kind=SpanKind.CLIENT, attributes=attributes)
    try:
        yield
    except Exception as error:
        fail(span, type(error).__name__)
        raise
    finally:
        span.end()
