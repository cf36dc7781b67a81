"""Spans of traces, and which of them may be shown to whom."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from penstock.observer.domain.viewer import Viewer


class Link(NamedTuple):
    """Another span that has to do with this one; ids in hex."""

    trace_id: str
    span_id: str


class SpanEvent(NamedTuple):
    """Something that happened within a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it was exported: ids in hex, times in Unix nanoseconds, `error` a type or "".

    `request_id` and `tenant` are what it says of itself; "" where it does not.
    """

    span_id: str
    parent_id: str
    name: str
    kind: str
    service: str
    instance: str
    start_ns: int
    end_ns: int
    error: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[SpanEvent] = ()
    links: Sequence[Link] = ()
    request_id: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans that are known of one trace, by their start."""

    trace_id: str
    spans: Sequence[Span]


class _Owner(NamedTuple):
    request_id: str
    tenant: str


_NOBODY = _Owner("", "")


def shown(own: Sequence[Trace], linked: Sequence[Trace], request_id: str, viewer: Viewer) -> list[Trace]:
    """Return what a viewer may see of a request's own traces, and of those that links join to them.

    Of its own traces the request's spans are shown: one trace may hold many requests, even of several
    tenants, if their client says so. A span that does not say whose it is belongs to whom its nearest
    ancestor does; spans of nobody are for operators. A tenant sees no links out of what is shown to it.
    """
    kept = [_of(trace, viewer, ("", request_id)) for trace in own] + [_of(trace, viewer) for trace in linked]
    kept = [trace for trace in kept if trace.spans]
    if viewer.operator:
        return kept
    mine = {trace.trace_id for trace in kept}
    return [replace(trace, spans=[_without_links(span, mine) for span in trace.spans]) for trace in kept]


def _of(trace: Trace, viewer: Viewer, requests: Sequence[str] = ()) -> Trace:
    owners = _owners(trace.spans)
    spans = [
        span
        for span in trace.spans
        if viewer.sees(owners[span.span_id].tenant)
        and (not requests or owners[span.span_id].request_id in requests)
    ]
    return Trace(trace.trace_id, spans)


def _without_links(span: Span, but_to: set[str]) -> Span:
    return replace(span, links=[link for link in span.links if link.trace_id in but_to])


def _owners(spans: Iterable[Span]) -> dict[str, _Owner]:
    """Return whose each span is, by itself or by its nearest ancestor that says so."""
    by_id = {span.span_id: span for span in spans}
    known: dict[str, _Owner] = {}
    for span in by_id.values():
        path: dict[str, Span] = {}
        at: Span | None = span
        while at is not None and at.span_id not in known and at.span_id not in path:
            path[at.span_id] = at
            at = by_id.get(at.parent_id)
        owner = known.get(at.span_id, _NOBODY) if at is not None else _NOBODY
        for each in reversed(path.values()):
            owner = _Owner(each.request_id or owner.request_id, each.tenant or owner.tenant)
            known[each.span_id] = owner
    return known
