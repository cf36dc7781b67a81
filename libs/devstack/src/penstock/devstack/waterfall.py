"""One trace as lines for a terminal: who did what when, and what was only waiting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from penstock.devstack.plain import plain

WAIT, WORK = "░", "█"
"""Told apart without colours, too."""
_SERVICE, _NAME, _SHORT_NAME, _TOOK, _NOTES, _GAPS = 14, 44, 24, 8, 22, 8
_WIDE = 130
"""Columns from which on names are written out."""
_LEAST_BAR, _MOST_BAR = 8, 60
WAITED = "penstock.wait_ms"
"""Of a span: for how long what it is about has waited before it began, in milliseconds."""
_MARKS = {"first_token": "first token", "last_token": "last token"}


class SpanEvent(msgspec.Struct):
    """Something that happened within a span."""

    name: str
    time_ms: float
    attributes: dict[str, Any] = {}


class Span(msgspec.Struct):
    """One span; times in Unix milliseconds, ``error`` a type or empty."""

    span_id: str
    name: str
    service: str
    start_ms: float
    end_ms: float
    parent_id: str | None = None
    instance: str = ""
    error: str = ""
    attributes: dict[str, Any] = {}
    events: list[SpanEvent] = []

    @property
    def is_wait(self) -> bool:
        """True for time in which nobody worked on the request: in a topic, or in a backend's queue."""
        return self.name.startswith("wait ")

    @property
    def wait(self) -> Span | None:
        """The time before it, in which what it is about has waited, as a span of its own, if it says so."""
        waited = self.attributes.get(WAITED)
        if not isinstance(waited, int | float):
            return None
        name = f"wait {self.name.removeprefix('process ')}"
        return Span(
            f"{self.span_id} wait",
            name,
            self.service,
            self.start_ms - waited,
            self.start_ms,
            self.parent_id,
            self.instance,
        )


class Trace(msgspec.Struct):
    """The spans of one trace."""

    trace_id: str
    spans: list[Span]


def in_order(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Each span with its depth below the outermost, parents first, by their start; those whose parent is not
    there count as outermost."""
    children: dict[str | None, list[Span]] = {}
    known = {span.span_id for span in spans}
    for span in sorted(spans, key=lambda span: span.start_ms):
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else None
        children.setdefault(parent, []).append(span)
    left = [(0, span) for span in reversed(children.get(None, []))]
    while left:
        depth, span = left.pop()
        yield depth, span
        left += [(depth + 1, child) for child in reversed(children.get(span.span_id, []))]


def waterfall(trace: Trace, columns: int) -> Table:
    """Service, span, bar, duration, and what is notable, of each span, in ``columns`` characters."""
    name = _NAME if columns >= _WIDE else _SHORT_NAME
    width = columns - _SERVICE - name - _TOOK - _NOTES - _GAPS
    width = max(_LEAST_BAR, min(_MOST_BAR, width))
    spans = [*trace.spans, *(wait for span in trace.spans if (wait := span.wait))]
    begin = min(span.start_ms for span in spans)
    whole = max(max(span.end_ms for span in spans) - begin, 0.001)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("service", no_wrap=True, max_width=_SERVICE)
    table.add_column("span", no_wrap=True)
    table.add_column(f"0 to {told(whole)}", no_wrap=True, min_width=width)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("", min_width=_NOTES - 4)
    for depth, span in in_order(spans):
        style = _style(span)
        table.add_row(
            plain(span.instance or span.service),
            Text(_short("  " * depth + plain(span.name), name), style="yellow" if span.is_wait else ""),
            Text(bar(span, begin, whole, width), style=style),
            Text(told(span.end_ms - span.start_ms), style=style),
            _notes(span, begin),
        )
    return table


def bar(span: Span, begin: float, whole: float, width: int) -> str:
    """A span's time as characters; the shortest has one."""
    start = min(width - 1, int((span.start_ms - begin) / whole * width))
    end = max(start + 1, min(width, round((span.end_ms - begin) / whole * width)))
    return " " * start + (WAIT if span.is_wait else WORK) * (end - start)


def told(ms: float) -> str:
    """A duration for people: ``0.4 ms``, ``17 ms``, ``5.32 s``."""
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


def _style(span: Span) -> str:
    if span.error:
        return "red"
    return "yellow" if span.is_wait else "cyan"


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _notes(span: Span, begin: float) -> Text:
    """Errors, retries, and when the first and the last token came, after the beginning of the trace."""
    notes = Text()
    if span.error:
        notes.append(f"error: {plain(span.error)}  ", style="bold red")
    retries = [event for event in span.events if event.name == "retry"]
    if retries:
        why = plain(str(retries[-1].attributes.get("error.type", "")))
        notes.append(f"{len(retries)} retries{f' ({why})' if why else ''}  ", style="magenta")
    for event in span.events:
        if event.name != "retry":
            name = _MARKS.get(event.name, plain(event.name).replace("_", " "))
            notes.append(
                f"{name} at {told(event.time_ms - begin)}  ", style="green" if event.name in _MARKS else "dim"
            )
    return notes
