"""The gateway's side of the log: connect, read the home partition, go on after the broker was away.

Other partitions are read as well while somebody follows an answer there that another gateway asked for.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import structlog

from penstock.gateway.domain.answer import Effect
from penstock.gateway.following import Following
from penstock.gateway.handler import Exchange
from penstock.gateway.ports import Log
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import CHAT_RESPONSES
from penstock.streaming import records
from penstock.streaming.ports import BrokerError, Partition, Producer, Reader, Record
from penstock.telemetry.readiness import Readiness

POLL_S = 0.2
"""Only between polls can the reader take another partition."""
LINGER_S = 30.0
"""So long a foreign partition is still read after the last who needed it: clients come in crowds."""
log = structlog.get_logger(__name__)


def home_partition(instance: str, partitions: int = CHAT_RESPONSES.partitions) -> int:
    """Return the partition of chat.responses that a gateway of this name reads: the same after a restart."""
    return crc32(instance.encode()) % partitions


class Home:
    """Connects an exchange to the log, and passes on what arrives for it."""

    def __init__(
        self,
        source: Log,
        partition: int,
        following: Following,
        exchange: Exchange,
        readiness: Readiness,
        retry_s: float = 0.5,
    ) -> None:
        self._source = source
        self._partition = partition
        self._following = following
        self._exchange = exchange
        self._readiness = readiness
        self._retry_s = retry_s
        self._producer: Producer | None = None
        self._reader: Reader | None = None
        self._needed: Counter[int] = Counter({partition: 1})
        self._left_at: dict[int, float] = {}
        self._read: set[int] = set()
        self._arrived = asyncio.Condition()
        self._closing: list[asyncio.Task[None]] = []
        self._missing: list[str] = []

    @contextmanager
    def needed(self, partition: int) -> Iterator[None]:
        """Have a partition of chat.responses read while the block runs; it may begin before that is so."""
        self._needed[partition] += 1
        try:
            yield
        finally:
            self._needed[partition] -= 1
            self._left_at[partition] = asyncio.get_running_loop().time()

    async def arrived(self, partition: int) -> None:
        """Wait until a partition that is needed is read."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: partition in self._read)

    def position(self, partition: Partition) -> int | None:
        """Return the offset up to which records were passed on; None: this partition is not read."""
        if partition.topic != CHAT_RESPONSES.name or partition.number not in self._read:
            return None
        return None if self._reader is None else self._reader.position(partition)

    async def run(self) -> None:
        """Connect, then read for ever."""
        self._readiness.waiting("kafka", f"connecting to {self._source.name}")
        self._readiness.waiting("topics", "waiting for kafka")
        reader = await self._connect()
        while True:
            try:
                await self._mend()
                await self._choose(reader)
                polled = await reader.poll(POLL_S)
            except BrokerError as error:
                await self._away(error)
                continue
            self._readiness.ready("kafka")
            if polled:
                for record in polled:
                    self._pass_on(record)
                # A poll need not suspend: without this, responses could starve while records pour in.
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Close what was opened."""
        for opened in (self._reader, self._producer):
            if opened is not None:
                await _close(opened)
        await asyncio.gather(*self._closing)

    async def _connect(self) -> Reader:
        while True:
            try:
                reader = await self._try_to_connect()
            except BrokerError as error:
                await self._away(error)
                continue
            if reader is not None:
                return reader
            await asyncio.sleep(self._retry_s)

    async def _try_to_connect(self) -> Reader | None:
        missing = await self._source.missing_topics()
        self._readiness.ready("kafka")
        if missing != self._missing:
            log.info("topics_awaited", missing=missing)
            self._missing = missing
        if missing:
            reason = f"not there, or this user may not see them: {', '.join(missing)}"
            self._readiness.waiting("topics", reason)
            return None
        self._producer = self._producer or await self._source.open_producer()
        # The reader's place is fixed before the first question can be sent, so no answer comes too early.
        reader = self._reader or await self._source.open_reader()
        self._reader = reader
        await self._choose(reader)
        self._exchange.producer = self._producer
        self._readiness.ready("topics")
        log.info("connected_to_the_log", topic=CHAT_RESPONSES.name, partition=self._partition)
        return reader

    async def _mend(self) -> None:
        """Open another producer in place of a broken one. Raises BrokerError."""
        broken = self._producer
        if broken is None or not broken.broken:
            return
        self._producer = await self._source.open_producer()
        self._exchange.producer = self._producer
        log.warning("producer_replaced")
        # What it still holds was told as not written, or will be: closing may take seconds.
        self._closing.append(asyncio.create_task(_close(broken)))
        self._closing = [closing for closing in self._closing if not closing.done()]

    async def _choose(self, reader: Reader) -> None:
        """Read what is needed, from now on, and no more what nobody has needed for a while."""
        missing = [n for n, needed in self._needed.items() if needed and n not in self._read]
        if missing:
            await reader.read({Partition(CHAT_RESPONSES.name, n): "end" for n in missing})
            self._read.update(missing)
            async with self._arrived:
                self._arrived.notify_all()
        if len(self._read) > 1:
            before = asyncio.get_running_loop().time() - LINGER_S
            idle = [n for n in self._read if not self._needed[n] and self._left_at[n] < before]
            if idle:
                self._read.difference_update(idle)
                await reader.leave([Partition(CHAT_RESPONSES.name, n) for n in idle])

    async def _away(self, error: BrokerError) -> None:
        log.warning("the_log_is_away", reason=str(error))
        self._readiness.waiting("kafka", str(error))
        await asyncio.sleep(self._retry_s)

    def _pass_on(self, record: Record) -> None:
        # Most records of a shared partition are for other gateways: the key alone tells, before any decoding.
        if record.key is None or (request_id := record.key.decode(errors="replace")) not in self._following:
            return
        try:
            event = records.event_of(record, CHAT_RESPONSES)
        except InvalidEvent as error:
            log.warning("record_is_no_event", request_id=request_id, offset=record.offset, reason=str(error))
            return
        effect = self._following.apply(request_id, event)
        if effect in (Effect.GAP, Effect.UNEXPECTED):
            log.error(
                "record_does_not_fit_the_answer",
                request_id=request_id,
                offset=record.offset,
                how=effect.value,
            )


async def _close(opened: Reader | Producer) -> None:
    try:
        await opened.close()
    except BrokerError as error:
        log.warning("closing_failed", reason=str(error))
