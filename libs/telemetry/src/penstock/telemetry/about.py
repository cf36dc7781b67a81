"""For whom the work at hand is done: what every span and every logged event says of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from penstock.telemetry import names


class About:
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


NOBODY = About()
_about: ContextVar[About] = ContextVar("about", default=NOBODY)


def about() -> About:
    """Return for whom the current task works."""
    return _about.get()


def work_for(whom: About) -> None:
    """Say for whom this task works from now on, and all tasks that it starts."""
    _about.set(whom)


@contextmanager
def working_for(whom: About) -> Iterator[None]:
    """Say for whom the block works: in code that has no task of its own."""
    token = _about.set(whom)
    try:
        yield
    finally:
        _about.reset(token)


class AboutEverySpan(SpanProcessor):
    """Gives each span that starts within the work for somebody what there is to say of that."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        whom = _about.get()
        # Many spans are made with these attributes: to set them once more is a third of what a span costs.
        if whom is not NOBODY and names.PENSTOCK_TENANT not in (span.attributes or ()):
            span.set_attributes(whom.attributes)
