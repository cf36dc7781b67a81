"""Views as the JSON that the console reads. Times are Unix milliseconds, null where not yet."""

from typing import Any

from penstock.observer.domain.pipeline import Pipeline, StageState, TopicState
from penstock.observer.domain.spans import Span, Trace
from penstock.observer.domain.usage import Amount, Cell
from penstock.observer.handler.letters import LetterPage
from penstock.observer.handler.lookup import RecordView
from penstock.observer.handler.views import RequestView
from penstock.streaming.admin.dead_letters import DeadLetter
from penstock.streaming.ports import Record

Object = dict[str, Any]
_NS = 1_000_000


def request_view(view: RequestView) -> Object:
    """A request with its records and traces."""
    return {
        "request": view.request,
        "records": [_record(record) for record in view.records],
        "records_cut": view.cut,
        "traces": [_trace(trace) for trace in view.traces],
    }


def pipeline(seen: Pipeline) -> Object:
    """One look at the pipeline."""
    return {
        "at_ms": seen.at_ms,
        "stages": [_stage(stage) for stage in seen.stages],
        "topics": [_topic(topic) for topic in seen.topics],
        "backends": [backend._asdict() for backend in seen.backends],
        "ingestion": None if seen.jobs is None else {"jobs": seen.jobs},
        "holding_back": seen.holding_back,
    }


def letter_page(page: LetterPage) -> Object:
    """Some dead letters."""
    return {"letters": [letter(each) for each in page.letters], "total": page.total, "next": page.next}


def letter(one: DeadLetter) -> Object:
    """A dead letter in a list."""
    return {
        "topic": one.topic.name,
        "offset": one.offset,
        "time_ms": one.time_ms,
        "stage": one.stage,
        "error": one.error,
        "request_id": one.request_id,
        "tenant": one.tenant,
    }


def whole_letter(one: DeadLetter, record: Record, *, with_body: bool) -> Object:
    """A dead letter with its headers and, if asked for, its body."""
    body = None if record.value is None or not with_body else record.value.decode(errors="replace")
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    return letter(one) | {"headers": headers, "bytes": len(record.value or b""), "body": body}


def usage(points: list[tuple[Cell, Amount]]) -> Object:
    """What was used, bucket by bucket."""
    return {"points": [cell._asdict() | amount._asdict() for cell, amount in points]}


def _record(record: RecordView) -> Object:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "time_ms": record.time_ms,
        "type": record.type,
        "epoch": record.epoch,
        "bytes": record.size,
        "headers": record.headers,
    }


def _trace(trace: Trace) -> Object:
    return {"trace_id": trace.trace_id, "spans": [_span(span) for span in trace.spans]}


def _span(span: Span) -> Object:
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id or None,
        "name": span.name,
        "kind": span.kind,
        "service": span.service,
        "instance": span.instance,
        "start_ms": span.start_ns / _NS,
        "end_ms": span.end_ns / _NS,
        "error": span.error,
        "attributes": span.attributes,
        "events": [
            {"name": event.name, "time_ms": event.time_ns / _NS, "attributes": event.attributes}
            for event in span.events
        ],
        "links": [link._asdict() for link in span.links],
    }


def _stage(stage: StageState) -> Object:
    return {
        "service": stage.role.name,
        "reads": [topic.name for topic in stage.role.reads],
        "writes": [topic.name for topic in stage.role.writes],
        "replicas": stage.replicas,
        "ready": stage.ready,
        "lag": stage.lag,
        "lag_tokens": stage.lag_tokens,
        "oldest_ms": stage.oldest_ms,
        "rate": round(stage.rate or 0.0, 3),
        "slots": stage.slots._asdict() if stage.slots else None,
        "retries_per_s": None if stage.retries_per_s is None else round(stage.retries_per_s, 3),
    }


def _topic(seen: TopicState) -> Object:
    return {
        "name": seen.topic.name,
        "partitions": seen.topic.partitions,
        "records": seen.records,
        "rate": round(seen.rate, 3),
        "dead": seen.dead,
    }
