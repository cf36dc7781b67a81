"""Logged events as OpenTelemetry's log records."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from opentelemetry._logs import Logger, SeverityNumber

from penstock.telemetry.work_context import current_work

_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
# Said by the log record in fields of its own, or by its resource.
_ELSEWHERE = {"event", "level", "timestamp", "service", "trace_id", "span_id", "exc_info"}


class OtlpHandler(logging.Handler):
    """Gives each event to `logger` (of OpenTelemetry): its name as the body, its fields as attributes.

    OpenTelemetry's own handler knows nothing of structlog's events, which are mappings, not messages.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        event: Mapping[str, Any] = (
            record.msg if isinstance(record.msg, Mapping) else {"event": record.getMessage()}
        )
        fields = {**current_work().fields, "logger": record.name, **event}
        self._logger.emit(
            timestamp=int(record.created * 1e9),
            severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
            severity_text=record.levelname,
            body=str(event.get("event", "")),
            attributes={name: _value(value) for name, value in fields.items() if name not in _ELSEWHERE},
            exception=_exception(event.get("exc_info") or record.exc_info),
        )


def _value(value: object) -> str | bool | int | float:
    return value if isinstance(value, str | bool | int | float) else str(value)


def _exception(exc_info: object) -> BaseException | None:
    """Return the exception of what logging accepts for one: itself, a triple, or True for the current one."""
    if exc_info is True:
        return sys.exc_info()[1]
    found = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    return found if isinstance(found, BaseException) else None
