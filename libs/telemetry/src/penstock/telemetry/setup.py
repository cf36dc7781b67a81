"""Set up traces, metrics and logs of one process, once, from `main`.

By OpenTelemetry's own settings (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_SDK_DISABLED and so
on), and by `PENSTOCK_OBSERVER`, the base URL of the local stack's observer. Both may be given: then spans go
to both.
"""

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from importlib import metadata
from typing import Any

import structlog
from opentelemetry import _logs, trace
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from penstock.telemetry import names
from penstock.telemetry.exporting import AtExit, Watched
from penstock.telemetry.log_records import OtlpHandler
from penstock.telemetry.metrics_setup import set_up_metrics
from penstock.telemetry.work_context import WorkContextProcessor, current_work

OBSERVER = "PENSTOCK_OBSERVER"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
OBSERVER_TIMEOUT_S = 1.0
DELAY = "OTEL_BSP_SCHEDULE_DELAY"
OBSERVER_DELAY_MS = 3_000
"""Unless `DELAY` says otherwise: a waterfall should show soon after its request has ended, and each export
costs as much as some tens of spans."""


def set_up(service: str) -> None:
    """Set up logs, traces, metrics and their exports for the service of this name.

    Spans carry real ids also where nothing is exported, so that `traceparent` and logs have them.
    """
    set_up_logs(service)
    # Not baggage, which is passed on by default: it is the client's, and may hold anything.
    set_global_textmap(TraceContextTextMapPropagator())
    resource, at_exit = resource_of(service, os.environ), AtExit()
    _set_up_traces(resource, at_exit)
    set_up_metrics(resource, at_exit, os.environ.get(OBSERVER), endpoint_for("METRICS"))
    _export_logs(resource, at_exit)


def resource_of(service: str, env: Mapping[str, str]) -> Resource:
    """Return what all that a process exports says of the process."""
    return Resource.create(
        {
            names.SERVICE_NAME: f"penstock-{service}",
            names.SERVICE_INSTANCE: env.get("PENSTOCK_INSTANCE") or service,
            names.SERVICE_VERSION: metadata.version("penstock-telemetry"),
        }
    )


def endpoint_for(signal: str) -> str | None:
    """Return where OpenTelemetry's own settings want "TRACES", "METRICS" or "LOGS" to go, if anywhere."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or os.environ.get(ENDPOINT)


def _set_up_traces(resource: Resource, at_exit: AtExit) -> None:
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(WorkContextProcessor())
    if observer := os.environ.get(OBSERVER):
        url = f"{observer.rstrip('/')}/v1/traces"
        exporter = Watched(url, lambda: _observer_exporter(url))
        delay = None if DELAY in os.environ else OBSERVER_DELAY_MS
        processor = BatchSpanProcessor(exporter, schedule_delay_millis=delay)
        provider.add_span_processor(processor)
        at_exit.add(processor.shutdown)
    if endpoint := endpoint_for("TRACES"):
        processor = BatchSpanProcessor(Watched(endpoint, _span_exporter))
        provider.add_span_processor(processor)
        at_exit.add(processor.shutdown)
    trace.set_tracer_provider(provider)


def _export_logs(resource: Resource, at_exit: AtExit) -> None:
    """Export all logged events beside writing them, if there is a collector. The observer takes none."""
    endpoint = endpoint_for("LOGS")
    if not endpoint or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    processor = BatchLogRecordProcessor(Watched(endpoint, _log_exporter))
    provider.add_log_record_processor(processor)
    at_exit.add(processor.shutdown)
    _logs.set_logger_provider(provider)
    logging.getLogger().addHandler(OtlpHandler(provider.get_logger("penstock.telemetry")))


# Imported late: a quarter of a second, which most processes spend in the thread that exports, or not at all.


def _observer_exporter(url: str) -> Any:
    import requests
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    session = requests.Session()
    session.trust_env = False  # it is near: a proxy has no place between
    return OTLPSpanExporter(url, timeout=OBSERVER_TIMEOUT_S, session=session)


def _span_exporter() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _log_exporter() -> Any:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter()


def set_up_logs(service: str) -> None:
    """Write logs to standard error: coloured lines on a terminal, else one JSON object a line.

    Every event names the request or document and the tenant it is about (`penstock.telemetry.work_context`),
    and the span.
    """
    shared: list[structlog.typing.Processor] = [
        _about(service),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_ids,
    ]
    renderers: list[structlog.typing.Processor]
    if sys.stderr.isatty():
        renderers = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        # Without the values of variables: they hold prompts and answers.
        without_values = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        renderers = [
            structlog.processors.ExceptionRenderer(without_values),
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for chatty in ("kafka", "httpx", "httpx2", "httpcore2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for told_by_us in ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal"):
        logging.getLogger(told_by_us).setLevel(logging.CRITICAL)


def _trace_ids(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _about(service: str) -> structlog.typing.Processor:
    """Return what tells of every event which service it is of, and for whom it worked."""

    def add_work(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for field, value in {"service": service, **current_work().fields}.items():
            event.setdefault(field, value)
        return event

    return add_work
