"""What the gateway does with a question: write it to the log, and follow its answer from there."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import structlog
from opentelemetry.trace import Span

from penstock.gateway.domain import errors
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.request_info import RequestInfo
from penstock.gateway.following import Follower, Following
from penstock.gateway.punctual import PunctualTimer
from penstock.messages import ids
from penstock.messages.chat import ChatRequested
from penstock.messages.envelope import Envelope, derived_id
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming import records
from penstock.streaming.ports import BrokerError, Producer, RecordTooLarge
from penstock.streaming.tracing import Spans, record_position
from penstock.telemetry.spans import fail, traceparent, within

SOURCE = "/penstock/gateway"
_NEW_MS = 30_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds.

    `timeout_s` is a request's deadline from its arrival; its end may come `grace_s` later. A request is
    accepted only if the log confirms it within `ack_s`.
    """

    timeout_s: float = 120
    grace_s: float = 5
    ack_s: float = 10


class Exchange:
    """Questions in, answers out, over the log; `producer` is None until there is one."""

    def __init__(
        self,
        following: Following,
        home_partition: int,
        limits: Limits,
        now_ms: Callable[[], int],
        spans: Spans,
        randbits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self.producer: Producer | None = None
        self._following = following
        self._home = home_partition
        self._limits = limits
        self._now_ms = now_ms
        self._spans = spans
        self._randbits = randbits

    def new_id(self) -> str:
        """Return the id of a new request: it names our home partition, where its answer will arrive."""
        return ids.new_request_id(self._home, self._now_ms(), self._randbits)

    def age_ms(self, request_id: str) -> int:
        """Return how old a request is by this clock."""
        return self._now_ms() - ids.created_ms(request_id)

    @contextmanager
    def subscribe(self, request_id: str, info: RequestInfo) -> Iterator[Follower]:
        """Follow the answer to a question that is about to be sent, until the block ends.

        The answer has an end at the latest after the request's deadline and grace.
        """
        with self._following.subscribe(request_id, info) as follower, self.limited(request_id):
            yield follower

    @contextmanager
    def limited(self, request_id: str, slack_ms: int = 0) -> Iterator[None]:
        """End the answer to a request when its time is up, while the block runs.

        For a request of another gateway its clock may be `slack_ms` ahead or behind: a lost answer is waited
        for anew, unless it is too old by any clock.
        """
        limits = self._limits
        late_s = limits.timeout_s + limits.grace_s
        left_s = min(late_s, late_s - (self.age_ms(request_id) - slack_ms) / 1000)
        error = errors.timed_out(limits.timeout_s)
        if left_s <= 0:
            self._following.fail(request_id, error)
        timer = PunctualTimer(left_s, limits.grace_s, lambda: self._following.fail(request_id, error))
        try:
            yield
        finally:
            timer.cancel()

    def withdraw(self, request_id: str, error: ApiError) -> None:
        """Tell all who follow a question already that it was not accepted."""
        self._following.fail(request_id, error)

    async def send(self, request_id: str, tenant: str, question: ChatRequested, parent: Span) -> None:
        """Write a question to the log, and wait until it is safe there. Raises ApiError if it is not.

        Written again under the same id, perhaps by another gateway, it is the same request: generation takes
        the first one only.
        """
        producer = self.producer
        if producer is None:
            raise errors.not_ready(["kafka: not connected"])
        envelope = self._envelope(request_id, tenant)
        span = self._spans.send(CHAT_REQUESTS.name, envelope, within(parent))
        envelope = msgspec.structs.replace(envelope, traceparent=traceparent(span))
        try:
            async with asyncio.timeout(self._limits.ack_s):
                await producer.room()
                record_position(span, await records.send(producer, CHAT_REQUESTS, envelope, question))
        except (BrokerError, TimeoutError) as error:
            fail(span, type(error).__name__)
            log.warning("question_not_written", request_id=request_id, reason=str(error) or "no answer")
            raise _not_written(error) from error
        finally:
            span.end()

    def _envelope(self, request_id: str, tenant: str) -> Envelope:
        return Envelope(
            id=derived_id(request_id, SOURCE, 0),
            type=ChatRequested.TYPE,
            source=SOURCE,
            time_ms=ids.created_ms(request_id),
            subject=request_id,
            tenant=tenant,
            reply_partition=ids.reply_partition(request_id),
            deadline_ms=self._deadline_ms(request_id),
        )

    def _deadline_ms(self, request_id: str) -> int:
        """Count from the id's own time, except for a question that is written by another gateway, or late."""
        created_ms, now_ms = ids.created_ms(request_id), self._now_ms()
        timeout_ms = round(self._limits.timeout_s * 1000)
        is_new = ids.reply_partition(request_id) == self._home and now_ms - created_ms < _NEW_MS
        return (created_ms if is_new else now_ms) + timeout_ms


def _not_written(error: BrokerError | TimeoutError) -> ApiError:
    if isinstance(error, RecordTooLarge):
        return ApiError(413, "request_too_large", "The conversation is too large. Send a shorter one.")
    return errors.not_accepted()
