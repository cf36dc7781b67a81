"""The request or document that a task works on, and its tenant: set on every span and logged event."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from penstock.telemetry import names


class WorkContext:
    """A request or a document, and its tenant; empty texts where that is not known."""

    __slots__ = ("attributes", "fields")

    def __init__(self, request_id: str = "", document_id: str = "", tenant: str = "") -> None:
        given = (
            (names.PENSTOCK_REQUEST_ID, "request_id", request_id),
            (names.PENSTOCK_DOCUMENT_ID, "document", document_id),
            (names.PENSTOCK_TENANT, "tenant", tenant),
        )
        self.attributes: Mapping[str, str] = {name: value for name, _, value in given if value}
        """For spans."""
        self.fields: Mapping[str, str] = {field: value for _, field, value in given if value}
        """For logs."""


NO_WORK = WorkContext()
_current: ContextVar[WorkContext] = ContextVar("penstock.work", default=NO_WORK)


def current_work() -> WorkContext:
    """Return what the current task works on."""
    return _current.get()


def set_work_context(work: WorkContext) -> None:
    """Set what this task, and all tasks that it starts, work on from now on."""
    _current.set(work)


@contextmanager
def use_work_context(work: WorkContext) -> Iterator[None]:
    """Set what the block works on, in code that has no task of its own."""
    token = _current.set(work)
    try:
        yield
    finally:
        _current.reset(token)


class WorkContextProcessor(SpanProcessor):
    """Sets the attributes of the current work on each span that starts."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        work = _current.get()
        # Many spans are made with these attributes: to set them once more is a third of what a span costs.
        if work is not NO_WORK and names.PENSTOCK_TENANT not in (span.attributes or ()):
            span.set_attributes(work.attributes)
