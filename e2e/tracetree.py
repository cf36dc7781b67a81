"""Traces as trees, as a test looks at them, and the names that OpenTelemetry has published."""

import ast
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from libs.telemetry.tests.receiver import ReceivedSpan, Receiver

PACKAGE = "opentelemetry.semconv"
FROM_OF_OTHERS = ("Deprecated in favor of stable", "Deprecated: Moved to the [OpenTelemetry GenAI")


def published_names() -> set[str]:
    """Return all attribute names of the installed conventions, without those that have been replaced.

    The package says so only in its sources. Names that have moved, to its stable part or to the repository
    of GenAI's conventions, are as good as ever.
    """
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None
    assert found.submodule_search_locations is not None
    root = Path(found.submodule_search_locations[0])
    return {name for path in root.rglob("attributes/*_attributes.py") for name in _names(path)}


def _names(path: Path) -> Iterator[str]:
    body = ast.parse(path.read_text()).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant)):
            continue
        said = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said = str(after.value.value).strip()
        if not said.startswith("Deprecated") or said.startswith(FROM_OF_OTHERS):
            yield str(node.value.value)


class Trace:
    """The spans of one trace."""

    def __init__(self, spans: Iterable[ReceivedSpan]) -> None:
        self.spans = sorted(spans, key=lambda span: span.start_ns)
        self._by_id = {span.span_id: span for span in self.spans}

    def named(self, name: str) -> list[ReceivedSpan]:
        """Return the spans of a name, by their start."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReceivedSpan:
        """Return the only span of a name."""
        [found] = self.named(name)
        return found

    def parent(self, span: ReceivedSpan) -> ReceivedSpan | None:
        """Return the parent of a span, if it was exported."""
        return self._by_id.get(span.parent_id)

    def path(self, span: ReceivedSpan) -> list[str]:
        """Return the names from the root to a span."""
        parent = self.parent(span)
        return [*(self.path(parent) if parent else []), span.name]

    @property
    def roots(self) -> list[ReceivedSpan]:
        """Return the spans whose parent is not there."""
        return [span for span in self.spans if span.parent_id not in self._by_id]

    @property
    def services(self) -> set[str]:
        """Return the services that have taken part."""
        return {span.service.removeprefix("penstock-") for span in self.spans}


def trace_of(
    collector: Receiver, request_id: str, complete: Callable[[Trace], object], seconds: float = 30
) -> Trace:
    """Return the trace that a request began, once it is complete."""

    def found() -> Trace | None:
        own = [
            span
            for span in collector.spans
            if span.attributes.get("penstock.request.id") == request_id and span.name == "send chat.requests"
        ]
        trace = Trace(collector.trace(own[0].trace_id)) if own else None
        return trace if trace and complete(trace) else None

    trace: Trace = collector.wait(found, seconds)
    return trace
