"""Reads chat.cancellations for the life of the process, and tells running answers when to end."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from penstock.generation.domain.presence import KEEP_MS, Presence
from penstock.messages.chat import CancelReason
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import CHAT_CANCELLATIONS
from penstock.streaming import records
from penstock.streaming.ports import BrokerError, Partition, Reader, Record, Since, Start

PARTITION = Partition(CHAT_CANCELLATIONS.name, 0)
POLL_SECONDS = 0.2
RETRY_SECONDS = 0.5
FORGET_EVERY_MS = 10_000
log = structlog.get_logger()


class CancellationLog:
    """Port: Cancellations.

    `open_reader` opens a reader of a partition, or raises BrokerError; `clock_ms` gives Unix milliseconds.
    """

    def __init__(
        self,
        open_reader: Callable[[Partition, Start], Awaitable[Reader]],
        clock_ms: Callable[[], int],
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._open_reader = open_reader
        self._clock_ms = clock_ms
        self._retry_seconds = retry_seconds
        self._presence = Presence()
        self._watches: defaultdict[str, set[_Watch]] = defaultdict(set)
        self._position: Start | None = None
        self._caught_up = False
        self._forget_ms = 0

    def is_given_up(self, request_id: str) -> bool:
        return self._presence.verdict(request_id, self._clock_ms()).reason is not None

    @contextmanager
    def watch(self, request_id: str) -> Iterator[asyncio.Future[CancelReason]]:
        watch = _Watch()
        self._watches[request_id].add(watch)
        try:
            self._look(request_id)
            yield watch.cancelled
        finally:
            watch.close()
            self._watches[request_id].discard(watch)
            if not self._watches[request_id]:
                del self._watches[request_id]

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set; a broker that fails is tried again, from where it failed."""
        if self._position is None:
            self._position = Since(self._clock_ms() - KEEP_MS)
        told = ""
        while not stop.is_set():
            try:
                reader = await self._open_reader(PARTITION, self._position)
                told = ""
                try:
                    await self._read(reader, stop)
                finally:
                    with suppress(BrokerError):
                        await reader.close()
            except BrokerError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("cancellations_not_readable", error=told)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._retry_seconds)

    async def _read(self, reader: Reader, stop: asyncio.Event) -> None:
        while not stop.is_set():
            found = await reader.poll(POLL_SECONDS)
            now = self._clock_ms()
            for record in found:
                self._take(record, now)
            self._position = reader.position(PARTITION)
            self._caught_up = self._caught_up or not found
            if now >= self._forget_ms:
                self._presence.forget(now)
                self._forget_ms = now + FORGET_EVERY_MS

    def _take(self, record: Record, now_ms: int) -> None:
        try:
            received = records.decode(record, CHAT_CANCELLATIONS)
        except InvalidEvent as error:
            log.warning(
                "invalid_record", topic=CHAT_CANCELLATIONS.name, offset=record.offset, error=str(error)
            )
            return
        # A record that arrives while we listen was written now: its own time may come from a wrong clock.
        time_ms = now_ms if self._caught_up else min(record.timestamp_ms, now_ms)
        request_id = received.envelope.subject
        self._presence.note(request_id, received.event, time_ms)
        self._look(request_id)

    def _look(self, request_id: str) -> None:
        """Tell those who watch a request what has become of it, now and when its grace ends."""
        watches = self._watches.get(request_id)
        if not watches:
            return
        now = self._clock_ms()
        reason, look_again_ms = self._presence.verdict(request_id, now)
        seconds = None if look_again_ms is None else (look_again_ms - now) / 1000
        for watch in watches:
            watch.update(reason, seconds, lambda: self._look(request_id))


class _Watch:
    """One answer's view: a future for its end, and at most one timer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.cancelled: asyncio.Future[CancelReason] = self._loop.create_future()

    def update(
        self, reason: CancelReason | None, again_seconds: float | None, look: Callable[[], None]
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if reason is not None and not self.cancelled.done():
            self.cancelled.set_result(reason)
        self._timer = None if again_seconds is None else self._loop.call_later(again_seconds, look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
