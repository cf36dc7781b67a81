"""Attempts at handling: bounded retries of transient errors, deadlines, and what a failure becomes."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from opentelemetry import trace
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential_jitter,
)

from penstock.messages.envelope import Envelope
from penstock.streaming.errors import HandlerError, PermanentError, TransientError
from penstock.streaming.ports import BrokerError, RecordTooLarge
from penstock.streaming.stage import RETRY_SECONDS
from penstock.telemetry import names

log = structlog.get_logger()


class DeadlineExceeded(HandlerError):
    """The request's deadline has passed; nobody waits for it any more."""

    def __init__(self) -> None:
        super().__init__("deadline_exceeded", "The request was not finished before its deadline.", 504)


Handle = Callable[[asyncio.Timeout], Awaitable[None]]
"""One try; it may put off the deadline that it is given."""


async def attempt(
    handle: Handle,
    envelope: Envelope,
    clock_ms: Callable[[], int],
    retried: Callable[[], None] = lambda: None,
    retry_seconds: float = RETRY_SECONDS,
) -> HandlerError | None:
    """Run `handle` until it succeeds (None), fails for good, or the deadline of `envelope` passes.

    Transient errors are repeated with exponential backoff and jitter for `retry_seconds`; the current span is
    told. An unexpected exception is a fault in the handler: it becomes a permanent `internal_error`. Only
    BrokerError is raised, but for RecordTooLarge, which no repetition would change.
    """
    remaining = (envelope.deadline_ms - clock_ms()) / 1000 if envelope.deadline_ms else None
    if remaining is not None and remaining <= 0:
        return DeadlineExceeded()
    deadline = asyncio.timeout(remaining)
    try:
        async with deadline:
            try:
                await handle(deadline)
            except TransientError as error:
                await _repeat(lambda: handle(deadline), error, retried, retry_seconds)
    except TimeoutError as error:  # of the deadline, or else the handler's own
        return DeadlineExceeded() if deadline.expired() else fault(error, envelope)
    except HandlerError as error:
        return error
    except RecordTooLarge as error:
        return too_large(error)
    except BrokerError:
        raise
    except Exception as error:  # noqa: BLE001  # the last line of defence: a fault must not stop the stage
        return fault(error, envelope)
    return None


async def _repeat(
    handle: Callable[[], Awaitable[None]],
    failed: TransientError,
    retried: Callable[[], None],
    retry_seconds: float,
) -> None:
    """Repeat what has failed once; tenacity is told of that failure, too, as its first attempt's."""
    retries = AsyncRetrying(
        stop=stop_after_delay(retry_seconds),
        wait=wait_exponential_jitter(multiplier=0.1, max=3, jitter=0.1),
        retry=retry_if_exception_type(TransientError),
        reraise=True,
        before_sleep=lambda state: _tell(state, retried),
    )
    async for trial in retries:
        with trial:
            if trial.retry_state.attempt_number == 1:
                raise failed
            await handle()


def too_large(error: RecordTooLarge) -> HandlerError:
    """Return what the client is told when an event of its request is larger than the broker takes."""
    return PermanentError("record_too_large", f"A record of the request was too large: {error}", 413)


def _tell(state: RetryCallState, retried: Callable[[], None]) -> None:
    retried()
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, HandlerError):
        trace.get_current_span().add_event(
            names.EVENT_RETRY,
            {names.ERROR_TYPE: error.code, names.PENSTOCK_ATTEMPT: state.attempt_number},
        )


def fault(error: Exception, envelope: Envelope) -> HandlerError:
    """Report an unexpected exception of a handler, and return what the client is told."""
    log.error("handler_fault", request_id=envelope.subject, event_type=envelope.type, exc_info=error)
    return PermanentError("internal_error", "The request could not be processed; it was kept for inspection.")
