"""One event and its tries: how long it may take, what is tried again and when, and what a failure becomes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry import trace
from structlog.testing import capture_logs

from libs.streaming.tests.one_stage import envelope
from penstock.streaming.attempts import attempt
from penstock.streaming.errors import HandlerError, PermanentError, TransientError
from penstock.streaming.ports import BrokerError, RecordTooLarge

NOW_MS = 1_800_000_000_000


async def tried(
    handle: Callable[[asyncio.Timeout], Awaitable[None]], left_ms: int | None = None, **more: Any
) -> HandlerError | None:
    """Try to handle an event of a request that has so much time left (None: it has no deadline)."""
    deadline_ms = 0 if left_ms is None else NOW_MS + left_ms
    return await attempt(handle, envelope("r1", deadline_ms=deadline_ms), lambda: NOW_MS, **more)


def code(error: HandlerError | None) -> tuple[str, int] | None:
    return None if error is None else (error.code, error.status)


async def raising(error: Exception) -> HandlerError | None:
    async def handle(_: asyncio.Timeout) -> None:
        raise error

    return await tried(handle)


@pytest.mark.parametrize("left_ms", [None, 1, 500, 1_000, 1_000_000_000])
async def test_a_handler_is_given_the_time_that_is_left(left_ms: int | None) -> None:
    given: list[float | None] = []

    async def handle(deadline: asyncio.Timeout) -> None:
        given.append(deadline.when())

    began = asyncio.get_running_loop().time()
    assert await tried(handle, left_ms) is None
    if left_ms is None:
        assert given == [None]
    else:
        assert given == [pytest.approx(began + left_ms / 1000, abs=5, rel=0)]


@pytest.mark.parametrize("left_ms", [0, -1, -500, -5_000])
async def test_whose_deadline_has_come_is_not_handled(left_ms: int) -> None:
    async def handle(_: asyncio.Timeout) -> None:
        pytest.fail("it was handled")

    assert code(await tried(handle, left_ms)) == ("deadline_exceeded", 504)


async def test_at_its_deadline_a_handler_is_broken_off() -> None:
    async def handle(_: asyncio.Timeout) -> None:
        await asyncio.sleep(60)

    assert code(await tried(handle, 50)) == ("deadline_exceeded", 504)


async def test_a_handler_may_put_its_deadline_off() -> None:
    async def handle(deadline: asyncio.Timeout) -> None:
        deadline.reschedule(None)
        await asyncio.sleep(0.1)

    assert await tried(handle, 50) is None


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (PermanentError("refused", "No.", 422), ("refused", 422)),
        (RecordTooLarge("5 MB"), ("record_too_large", 413)),
        (TimeoutError(), ("internal_error", 500)),
        (KeyError("bug"), ("internal_error", 500)),
    ],
)
async def test_what_a_failure_becomes(raised: Exception, told: tuple[str, int]) -> None:
    assert code(await raising(raised)) == told


async def test_a_broker_that_fails_is_not_the_requests_failure() -> None:
    with pytest.raises(BrokerError, match="away"):
        await raising(BrokerError("away"))


async def test_a_fault_is_told_with_its_request_and_not_to_the_client() -> None:
    with capture_logs() as logs:
        error = await raising(KeyError("secret"))
    assert error is not None
    assert "secret" not in error.message
    assert [(one["event"], one["request_id"]) for one in logs] == [("handler_fault", "r1")]


async def test_what_may_go_away_is_tried_again_after_longer_and_longer_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0.1 s doubled each time, a little more by chance, and at most 3 s."""
    waits: list[float] = []
    tries = retries = 0

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def handle(_: asyncio.Timeout) -> None:
        nonlocal tries
        tries += 1
        if tries <= 20:
            raise TransientError("busy", "try again")

    def retried() -> None:
        nonlocal retries
        retries += 1

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await tried(handle, retried=retried) is None
    assert (tries, retries, len(waits)) == (21, 20, 20)
    bases = [0.1 * 2**n for n in range(5)]
    assert all(base <= wait <= base + 0.1 for base, wait in zip(bases, waits, strict=False))
    assert len({wait - base for base, wait in zip(bases, waits, strict=False)}) > 1
    assert waits[5:] == [3.0] * 15


async def test_what_does_not_go_away_fails_as_it_last_did() -> None:
    tries = 0

    async def handle(_: asyncio.Timeout) -> None:
        nonlocal tries
        tries += 1
        raise TransientError("busy", f"try {tries}", 429)

    error = await tried(handle, retry_seconds=0.2)
    assert code(error) == ("busy", 429)
    assert error is not None
    assert error.message == f"try {tries}"
    assert 1 < tries < 5


async def test_no_try_goes_beyond_the_deadline() -> None:
    async def handle(_: asyncio.Timeout) -> None:
        raise TransientError("busy", "try again")

    assert code(await tried(handle, 300)) == ("deadline_exceeded", 504)


async def test_after_a_failure_for_good_there_is_no_other_try() -> None:
    tries = 0

    async def handle(_: asyncio.Timeout) -> None:
        nonlocal tries
        tries += 1
        raise TransientError("busy", "try again") if tries == 1 else PermanentError("refused", "No.", 400)

    assert code(await tried(handle)) == ("refused", 400)
    assert tries == 2


async def test_each_try_is_told_in_the_trace(spans: Any) -> None:
    tries = 0

    async def handle(_: asyncio.Timeout) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise TransientError(f"busy_{tries}", "try again")

    with trace.get_tracer("test").start_as_current_span("process"):
        assert await tried(handle) is None
    [span] = spans.get_finished_spans()
    told = [(e.name, e.attributes["error.type"], e.attributes["penstock.attempt"]) for e in span.events]
    assert told == [("retry", "busy_1", 1), ("retry", "busy_2", 2)]
